"""The structure that the design promises: who may import whom, who may start processes, what `--help` loads."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING

from tests.support.imports import circles, import_graph, module_name, names_imported
from tests.support.imports import modules as graph_modules
from tests.support.places import ROOT, SOURCE
from tests.support.syntax import nodes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# They run elsewhere, and import nothing of envpin; nothing of it imports them.
APART = ("workers", "recording/hook", "demo/scripts", "bundle/scripts")
# The package itself: its version, which every room may read, and its lazy Python API.
PACKAGE = ("envpin", "envpin.__main__", "envpin.api", "envpin.public", "envpin.version")


def modules() -> list[Path]:
    return [
        path
        for path in SOURCE.rglob("*.py")
        if not {"workers", "hook", "scripts"} & set(path.relative_to(SOURCE).parts)
    ]


@cache
def floors() -> dict[str, int]:
    """Room to floor, as the table of ARCHITECTURE.md has them."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `([^`]+)` \|", text, flags=re.MULTILINE)
    return {room: int(floor) for floor, room in rows}


def room_of(path: Path) -> str:
    """The room with the longest name that the path of a file below src/envpin starts with."""
    own = path.relative_to(SOURCE)
    names = [own.as_posix(), *(folder.as_posix() for folder in own.parents)]
    return next((name for name in names if name in floors() or name in APART), "")


def of_each_module(check: Callable[[Path], None]) -> Callable[[], None]:
    """One test of what holds for each module: 300 of each rule would take seconds to set up."""

    def test() -> None:
        faults = []
        for path in modules():
            try:
                check(path)
            except AssertionError as fault:
                faults.append(f"{path.relative_to(SOURCE)}: {fault}")
        assert not faults, "\n".join(faults)

    return test


def test_every_file_has_a_room_and_every_room_a_file() -> None:
    rooms = {path: room_of(path) for name, path in graph_modules().items() if name not in PACKAGE}
    homeless = [path for path, room in rooms.items() if not room and path.name != "__init__.py"]
    assert homeless == [], "a file without a room: add one to the table of ARCHITECTURE.md"
    assert set(floors()) - set(rooms.values()) == set(), "ARCHITECTURE.md names a room that is not there"


@of_each_module
def test_rooms_import_only_from_lower_floors(path: Path) -> None:
    name, own = module_name(path), room_of(path)
    for target in import_graph()[name] if name not in PACKAGE else ():
        if target in PACKAGE:
            continue
        other = room_of(graph_modules()[target])
        assert other not in APART, f"{name} imports {target}, which runs elsewhere"
        assert other == own or floors()[other] < floors()[own], (
            f"`{own}` (floor {floors()[own]}) imports {target} of `{other}` (floor {floors()[other]})"
        )


def test_no_circle_of_imports_between_files() -> None:
    """Imports in functions and for types count: what needs them to escape a circle belongs into a third file."""
    assert circles(import_graph()) == set()


def test_folders_of_logs_import_only_from_those_named_before() -> None:
    """The list in `diagnose/logs/__init__.py` is the order in which they build on each other."""
    logs = "envpin.diagnose.logs"
    text = (SOURCE / "diagnose" / "logs" / "__init__.py").read_text(encoding="utf-8")
    order = re.findall(r"^- `(\w+)`", text, flags=re.MULTILINE)
    assert set(order) == {path.parent.name for path in (SOURCE / "diagnose" / "logs").glob("*/__init__.py")}
    for name, targets in import_graph().items():
        folder = name.removeprefix(f"{logs}.").split(".")[0]
        if name.startswith(f"{logs}.") and folder in order:
            later = order[order.index(folder) + 1 :]
            wrong = [one for one in targets if one.removeprefix(f"{logs}.").split(".")[0] in (*later, "reader")]
            assert not wrong, f"{name} imports {wrong}"


def test_circles_are_found_however_long() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert circles({one: frozenset(others) for one, others in graph.items()}) == {frozenset("abc"), frozenset("de")}


@of_each_module
def test_one_door_for_processes_and_no_heavy_imports(path: Path) -> None:
    own = str(path.relative_to(SOURCE))
    for name in names_imported(path):
        root = name.split(".")[0]
        assert root not in {"torch", "transformers", "peft", "numpy"}, f"{own} imports {name}"
        if root == "subprocess":
            assert own == "core/process.py", f"{own} imports subprocess; use envpin.core.process"
        if root in {"urllib3", "requests", "httpx"}:
            assert own.startswith("remote/"), f"{own} imports {name}; use envpin.remote.index"


# What only one module may do. A second way to do it is how two commands come to disagree (issue: one house).
DOORS: dict[str, tuple[str, ...]] = {
    "import hashlib": ("core/files.py",),
    # Beside the door: what envpin itself wrote, or its own worker says.
    "call json.loads": (
        "core/json_input.py",
        "core/journal.py",
        "host/worker.py",
        "bisect/session/history.py",
        "envs/store/artifacts.py",
        "inference/rules_run.py",
        "matrix/stack.py",
        "matrix/support.py",
        "matrix/view.py",
        "recording/session.py",
        "remote/index/client.py",
    ),
    "call json.load": (),
    "derive RawIOBase": ("core/range_file.py",),
    "part at `+`": ("core/versions.py",),
    "call os.get_terminal_size": ("cli/console/width.py",),
    "call shutil.get_terminal_size": (),
    "import textwrap": ("cli/console/width.py",),
    "import tomllib": ("core/toml_input.py",),
    "pad a string": (),
    "call os.replace": ("core/files.py",),
    "call os.fsync": ("core/files.py",),
    "call tempfile.mkstemp": (),
    "call tempfile.NamedTemporaryFile": (),
    "call Path.replace": ("core/files.py",),
    "name DecodeError": ("core/typed_json.py",),
    # `checkpoint/formats/torch_zip.py` tells a zip that is cut off from another one.
    "name BadZipFile": ("core/archive_input.py", "checkpoint/formats/torch_zip.py"),
}


def doings(path: Path) -> set[str]:
    """What a module does that has one door, in the words of `DOORS`."""
    found = {f"import {name}" for name in names_imported(path)}
    for node in nodes(path):
        if isinstance(node, ast.ClassDef):
            found |= {f"derive {base.attr}" for base in node.bases if isinstance(base, ast.Attribute)}
        if isinstance(node, ast.Attribute) and node.attr in {"DecodeError", "BadZipFile"}:
            found.add(f"name {node.attr}")  # it is one of several that the reader raises
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = node.func.value
            if node.func.attr in {"ljust", "rjust", "center"}:
                found.add("pad a string")  # `console.width.padded` knows how many columns a letter takes
            if node.func.attr in {"partition", "split"} and [ast.unparse(one) for one in node.args] == ["'+'"]:
                found.add("part at `+`")
            if isinstance(of, ast.Name):
                found.add(f"call {of.id}.{node.func.attr}")
            if node.func.attr == "replace" and len(node.args) == 1 and not node.keywords:
                found.add("call Path.replace")  # that of a string takes two, those of dates and structs keywords
    return found


# Rooms whose files are a stranger's: each is opened through `core.files`, `core.json_input` or `core.text_input`.
STRANGERS = ("checkpoint", "inference", "diagnose", "scan", "manifest", "matrix/subject.py")
OPENERS = {"open", "read_bytes", "read_text"}
# A resource of envpin's own; a file that is opened inside a zip; a door into the folder of a stranger.
OPENING = {
    "inference/rules_run.py", "inference/pickle_names.py", "checkpoint/confined.py", "checkpoint/read_once.py",
    "checkpoint/formats/torch_zip.py",
    "diagnose/catalogue/catalogue.py", "diagnose/detectors/unmergeable.py", "diagnose/logs/signatures/signature.py",
}  # fmt: skip


@of_each_module
def test_files_of_strangers_are_opened_through_a_door(path: Path) -> None:
    own = path.relative_to(SOURCE).as_posix()
    if not own.startswith(STRANGERS) or own in OPENING:
        return
    for node in nodes(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in OPENERS, f"{own}:{node.lineno} opens a file by itself: use envpin.core.files"


# Words of the outside world that one module may know.
WORDS: dict[str, str] = {
    "HUGGINGFACE_HUB_CACHE": "core/hub_cache.py", "HF_HOME": "core/hub_cache.py", "models--": "core/hub_cache.py",
    "snapshots": "core/hub_cache.py", "refs": "core/hub_cache.py", "blobs": "core/hub_cache.py",
}  # fmt: skip
# `replay/fetch.py` asks of a link whether it leads to a blob; refs are an argument of `env`.
KNOWING = {("replay/fetch.py", "blobs"), ("cli/commands/env.py", "refs")}


@of_each_module
def test_each_word_of_the_outside_is_known_once(path: Path) -> None:
    own = path.relative_to(SOURCE).as_posix()
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in WORDS:
            allowed = WORDS[node.value] == own or (own, node.value) in KNOWING
            assert allowed, f"{own}:{node.lineno} knows `{node.value}`: ask {WORDS[node.value]}"


@of_each_module
def test_each_outside_fact_has_one_door(path: Path) -> None:
    own = path.relative_to(SOURCE).as_posix()
    for doing in doings(path) & set(DOORS):
        assert own in DOORS[doing], f"{own} does `{doing}`: go through {' or '.join(DOORS[doing]) or 'envpin.core'}"


def test_workers_and_hook_stay_apart() -> None:
    for folder in APART:
        for path in (SOURCE / folder).rglob("*.py"):
            for name in names_imported(path):
                assert name.split(".")[0] != "envpin", f"{path} imports {name}"
            ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


def test_files_keep_their_size() -> None:
    for path in SOURCE.rglob("*.py"):
        lines = path.read_text(encoding="utf-8").count("\n") + 1
        assert lines <= 450, f"{path.relative_to(SOURCE)} has {lines} lines: split it by meaning"


def test_public_class_names_are_unique() -> None:
    """A name that is met in a traceback, a review or a search means one thing, in workers and the hook too."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        for node in nodes(path):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_any_stays_rare() -> None:
    """Uses of `Any` per 1,000 lines: what is only handed on is an `object`, what is read has a type.

    It was 2.9 when this was written; it may fall.
    """
    lines = found = 0
    for path in SOURCE.rglob("*.py"):
        lines += path.read_text(encoding="utf-8").count("\n")
        found += sum(isinstance(node, ast.Name) and node.id == "Any" for node in nodes(path))
    assert found * 1000 / lines < 3.5


def test_no_catch_all_module_names() -> None:
    for path in SOURCE.rglob("*.py"):
        assert path.stem not in {"utils", "common", "helpers", "misc"}


def test_this_interpreter_is_supported() -> None:
    assert sys.version_info >= (3, 11)
