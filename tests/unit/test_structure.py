"""The structure that the design promises: who may import whom, who may start processes, what `--help` loads."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.support.imports import circles, import_graph, names_imported
from tests.support.places import SOURCE

if TYPE_CHECKING:
    from pathlib import Path

# A module may import from its own layer's package and from lower layers. See ARCHITECTURE.md and docs/adr/0001.
LAYERS: dict[str, int] = {
    "core": 0,
    "matrix": 1, "manifest": 1,
    "envs": 2, "host": 2, "remote": 2, "checkpoint": 2, "infer": 2,
    "recording": 3, "diagnose": 3, "report": 3, "evidence": 3, "bisect": 4, "sweep": 4, "replay": 4,
    "scan": 4,
    "demo": 5, "cli": 6,
}  # fmt: skip


def modules() -> list[Path]:
    return [
        path
        for path in SOURCE.rglob("*.py")
        if not {"workers", "hook", "scripts"} & set(path.relative_to(SOURCE).parts)
    ]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def part(module: str) -> str | None:
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "envpin" and len(pieces) > 1 and pieces[1] in LAYERS else None


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_downwards(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if own not in LAYERS:
        assert own in {"__init__", "__main__", "api"}, f"{own} has no layer: add it to LAYERS and to ARCHITECTURE.md"
        return
    for name in names_imported(path):
        target = part(name)
        if target is not None and target != own:
            assert LAYERS[target] <= LAYERS[own], (
                f"{own} (layer {LAYERS[own]}) imports {target} (layer {LAYERS[target]})"
            )
            if LAYERS[target] == LAYERS[own] and own != "errors":
                allowed = {("envs", "remote"), ("remote", "checkpoint"), ("infer", "checkpoint"), ("infer", "remote"),
                           ("envs", "infer"), ("envs", "checkpoint"), ("recording", "infer")}  # fmt: skip
                assert (own, target) in allowed, f"{own} imports its neighbour {target}"


def test_no_circle_of_imports_between_files() -> None:
    """Imports in functions and for types count: what needs them to escape a circle belongs into a third file."""
    known = {
        frozenset({"envpin.workers.stream.quantized", "envpin.workers.stream.skeleton"}),
    }
    found = circles(import_graph())
    assert found - known == set()
    assert known - found == set(), "this circle is cut: take it out of `known`"


def test_circles_are_found_however_long() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert circles({one: frozenset(others) for one, others in graph.items()}) == {frozenset("abc"), frozenset("de")}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
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
        "host.py",
        "bisect/session/history.py",
        "envs/locks/artifacts.py",
        "infer/rules_run.py",
        "matrix/support.py",
        "matrix/view.py",
        "recording/session.py",
        "remote/index/client.py",
    ),
    "call json.load": (),
    "derive RawIOBase": ("core/range_file.py",),
    "call os.replace": ("core/files.py",),
    "call os.fsync": ("core/files.py",),
    "call tempfile.mkstemp": (),
    "call tempfile.NamedTemporaryFile": (),
    "call Path.replace": ("core/files.py",),
}


def doings(path: Path) -> set[str]:
    """What a module does that has one door, in the words of `DOORS`."""
    found = {f"import {name}" for name in names_imported(path)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef):
            found |= {f"derive {base.attr}" for base in node.bases if isinstance(base, ast.Attribute)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = node.func.value
            if isinstance(of, ast.Name):
                found.add(f"call {of.id}.{node.func.attr}")
            if node.func.attr == "replace" and len(node.args) == 1 and not node.keywords:
                found.add("call Path.replace")  # that of a string takes two, those of dates and structs keywords
    return found


# Rooms whose files are a stranger's: each is opened through `core.files`, `core.json_input` or `core.text_input`.
STRANGERS = ("checkpoint", "infer", "diagnose", "scan", "manifest", "matrix/subject.py")
OPENERS = {"open", "read_bytes", "read_text"}
# A resource of envpin's own; a file that is opened inside a zip; a door into the folder of a stranger.
OPENING = {
    "infer/rules_run.py", "infer/pickle_names.py", "checkpoint/confined.py", "checkpoint/read_once.py",
    "checkpoint/formats/torch_zip.py",
    "diagnose/catalogue/catalogue.py", "diagnose/logs/signature.py",
}  # fmt: skip


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_of_strangers_are_opened_through_a_door(path: Path) -> None:
    own = path.relative_to(SOURCE).as_posix()
    if not own.startswith(STRANGERS) or own in OPENING:
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in OPENERS, f"{own}:{node.lineno} opens a file by itself: use envpin.core.files"


# Words of the outside world that one module may know.
WORDS: dict[str, str] = {
    "HUGGINGFACE_HUB_CACHE": "core/hub_cache.py", "HF_HOME": "core/hub_cache.py", "models--": "core/hub_cache.py",
    "snapshots": "core/hub_cache.py", "refs": "core/hub_cache.py", "blobs": "core/hub_cache.py",
}  # fmt: skip
# `replay/fetch.py` asks of a link whether it leads to a blob; refs are an argument of `env`.
KNOWING = {("replay/fetch.py", "blobs"), ("cli/commands/env.py", "refs")}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_each_word_of_the_outside_is_known_once(path: Path) -> None:
    own = path.relative_to(SOURCE).as_posix()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in WORDS:
            allowed = WORDS[node.value] == own or (own, node.value) in KNOWING
            assert allowed, f"{own}:{node.lineno} knows `{node.value}`: ask {WORDS[node.value]}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_each_outside_fact_has_one_door(path: Path) -> None:
    own = path.relative_to(SOURCE).as_posix()
    for doing in doings(path) & set(DOORS):
        assert own in DOORS[doing], f"{own} does `{doing}`: go through {' or '.join(DOORS[doing]) or 'envpin.core'}"


def test_the_controller_imports_nothing_of_the_workers() -> None:
    for path in modules():
        for name in names_imported(path):
            assert name.split(".")[:2] != ["envpin", "workers"], f"{path.relative_to(SOURCE)} imports {name}"


def test_workers_and_hook_stay_apart() -> None:
    for folder in (SOURCE / "workers", SOURCE / "recording" / "hook", SOURCE / "demo" / "scripts"):
        for path in folder.rglob("*.py"):
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
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_no_catch_all_module_names() -> None:
    for path in SOURCE.rglob("*.py"):
        assert path.stem not in {"utils", "common", "helpers", "misc"}


def test_this_interpreter_is_supported() -> None:
    assert sys.version_info >= (3, 11)
