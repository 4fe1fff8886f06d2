"""The same kinds in every command that is given an adapter: files that are none, texts for a terminal, for CI and for
git, bundles, cards and records of strangers."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.hostile.situation import MARK, Situation, endure, table
from tests.hostile.test_inputs import plain, with_value
from tests.support.fuzzing import MERGE_RECORD, PLAIN_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable

ANY = (0, 1, 2, 3, 4, 5)
_COMMANDS = {
    "check": "check adapter --base base",
    "github": "check adapter --base base --format github",
    "sarif": "check adapter --base base --format sarif",
    "junit": "check adapter --base base --format junit",
    "infer": "infer adapter",
    "scan": "scan . --html pages.html",
    "diff": "diff adapter adapter",
    "verify": "verify base",
    "prove": "prove base adapter base --offline",
    "report": "report adapter --html page.html",
    "card": "card adapter --print",
    "push": "push base me/mine --dry-run",
    "merge": "replay merge adapter --base base -o out --dry-run --offline",
    "train": "replay train adapter --trust-script --environment active -o again",
    "train elsewhere": "replay train adapter --trust-script --environment active --source base --force --once -o again",
    "attach": "record --attach adapter --force",
    "bundle": "bundle adapter --base base -o x.tar --offline",
    "lock": "lock adapter --offline",
    "stack": "matrix resolve adapter --base base --for train,merge,serve",
    "create": "env create adapter --offline",
}
_OUT = "::error::out of a stranger's text"
_SIGNED = f"x\n{_OUT}\n  ::set-output name=a::b\n##[set-output name=a]b"

# Where a file of the folder is none, for those names that other tables do not have.
_THINGS = {
    "a pipe": "mkfifo {}",
    "an endless device": "ln -s /dev/zero {}",
    "a loop of links": "ln -s $(basename {}) {}",
    "a huge hole": "truncate -s 300G {}",
    "deep arrays": "$PY -c 'print(\"[\" * 100000)' >{}",
    "half letters": '$PY -c \'print("{{\\"\\\\\\\\ud800\\": \\"\\\\\\\\udfff\\", \\"schema\\": 1}}")\' >{}',
}
_FILES = ("adapter/tokenizer_config.json", "adapter/envpin-trace.jsonl", "adapter/README.md", "adapter/envpin.json",
          "adapter/envpin.patch", "base/envpin-merge.json", "base/model.safetensors.index.json")  # fmt: skip


def recorded(folder: Path, **changes: Any) -> None:
    """An adapter and its base, with the manifest of a run."""
    plain(folder)
    held = sha256((folder / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()
    saved = {"kind": "adapter", "files": {"adapter_model.safetensors": held}}
    document = {**json.loads(PLAIN_MANIFEST), "saved": saved, **changes}
    (folder / "adapter" / "envpin.json").write_text(json.dumps(document))


def merged(folder: Path, **changes: Any) -> None:
    """A base that says it was merged."""
    recorded(folder)
    (folder / "base" / "envpin-merge.json").write_text(json.dumps({**json.loads(MERGE_RECORD), **changes}))


def with_header(text: bytes, *, length: int | None = None, data: int = 0) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        recorded(folder)
        size = len(text) if length is None else length
        with (folder / "adapter" / "adapter_model.safetensors").open("wb") as stream:
            stream.write(size.to_bytes(8, "little") + text)
            stream.truncate(8 + size + data)

    return make


def _tensor(name: str, start: int, end: int, **more: object) -> bytes:
    return json.dumps({name: {"dtype": "F32", "shape": [2, 2], "data_offsets": [start, end], **more}})[1:-1].encode()


_LORA = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
_HEADERS: dict[str, Callable[[Path], None]] = {
    "overlapping": with_header(b"{" + _tensor("a", 0, 16) + b"," + _tensor(_LORA, 8, 24) + b"}", data=24),
    "all on one place": with_header(
        b"{" + b",".join(_tensor(f"{_LORA}{n}", 0, 16) for n in range(2000)) + b"}", data=16
    ),
    "backwards": with_header(b"{" + _tensor(_LORA, 16, 0) + b"}", data=16),
    "negative": with_header(b"{" + _tensor(_LORA, -16, 0) + b"}", data=16),
    "beyond the file": with_header(b"{" + _tensor(_LORA, 0, 2**62) + b"}"),
    "shape of 2**63": with_header(b"{" + _tensor(_LORA, 0, 16, shape=[2**63, 2]) + b"}", data=16),
    "shape of many": with_header(b"{" + _tensor(_LORA, 0, 16, shape=[1] * 100_000) + b"}", data=16),
    "a tensor twice": with_header(b"{" + _tensor(_LORA, 0, 16) + b"," + _tensor(_LORA, 0, 16) + b"}", data=16),
    "100 MB of spaces": with_header(b"{" + b" " * 100_000_000 + b"}"),
    "100 MB of nothing": with_header(b"{", length=100_000_000),
    "a length of 2**63": with_header(b"{}", length=2),
    "a name that ends lines": with_header(b"{" + _tensor(_LORA + _SIGNED, 0, 16) + b"}", data=16),
}


def with_index(weight_map: object) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        merged(folder)
        (folder / "secret.safetensors").write_bytes((folder / "base" / "model.safetensors").read_bytes())
        (folder / "base" / "model.safetensors").unlink()
        document = {"metadata": {"total_size": 1}, "weight_map": weight_map}
        (folder / "base" / "model.safetensors.index.json").write_text(json.dumps(document))

    return make


_NORM = "model.norm.weight"
_INDEXES = {
    "out": {_NORM: "../secret.safetensors"},
    "absolute": {_NORM: "/etc/passwd"},
    "a device": {_NORM: "/dev/zero"},
    "a drive": {_NORM: "C:\\x.safetensors"},
    "a NUL": {_NORM: "a\0b"},
    "half a letter": {_NORM: "\ud800"},
    "itself": {_NORM: "model.safetensors.index.json"},
    "many": {f"model.layers.{n}.x": f"{n}.safetensors" for n in range(20_000)},
    "a list": [_NORM],
    "numbers": {_NORM: 7},
    "lines": {_NORM: _SIGNED},
}


def _training(**more: Any) -> dict[str, Any]:
    return {**json.loads(PLAIN_MANIFEST)["training"], **more}


def _code(**more: Any) -> dict[str, Any]:
    return {"script": "/x/train.py", "directory": "/x", "sha256": "0" * 64, **more}


def _git(**more: Any) -> dict[str, Any]:
    run = json.loads(PLAIN_MANIFEST)["run"]
    return {**run, "git": {**run["git"], **more}}


_TOUCH = f"touch {MARK}"
# What a manifest says of a run, for whoever repeats it, and shows or compares it.
_RECORDS: dict[str, dict[str, Any]] = {
    "a command with NULs": {"run": {"argv": ["python", "a\0b"]}, "code": _code(directory="/tmp")},
    "a command of half letters": {"run": {"argv": ["\ud800"]}, "code": _code(directory="/tmp")},
    "no command": {"run": {"argv": []}},
    "an empty command": {"run": {"argv": [""]}, "code": _code(directory="/tmp")},
    "a commit that is an option": {"run": _git(commit=f"--index-output={MARK}"), "code": _code()},
    "a commit that is a command": {"run": _git(commit=f"`{_TOUCH}`", root="."), "code": _code(directory=".")},
    "a root that is relative": {"run": _git(root="adapter"), "code": _code(directory="adapter/../..")},
    "a folder out of its root": {"run": _git(root="/tmp"), "code": _code(directory="/tmp/../../etc")},
    "a folder that is everything": {"code": _code(directory="/"), "training": _training(output="/")},
    "a folder of processes": {"code": _code(directory="/proc/self"), "training": _training(output="/proc")},
    "a folder of devices": {"code": _code(directory="/dev"), "training": _training(output="/dev/x")},
    "an output that is the folder": {"training": _training(output="."), "code": _code(directory=".")},
    "an output of NULs": {"training": _training(output="\0"), "code": _code(directory="\0")},
    "a script that is a device": {"code": _code(script="/dev/zero", directory="/tmp")},
    "files that are devices": {"code": _code(directory="/tmp", folder="/", files={"dev/zero": "0" * 64})},
    "variables that load code": {"run": {"argv": ["true"], "environment": {"LD_PRELOAD": "/x.so", "PATH": "."}}},
    "numbers beyond all": {"training": _training(steps=2**63, world_size=-1, accumulation=0, batch_size=2**62)},
    "texts for numbers": {"training": _training(arguments={"learning_rate": "1e999", "seed": [{}]})},
    "deep arguments": {"training": _training(arguments={"a": json.loads("[" * 30 + "]" * 30)})},
    "a trace out": {"training": _training(trace="../../etc/passwd")},
    "a patch out": {"run": _git(patch={"file": "../x"})},
    "lines": {"run": {"argv": [_SIGNED], "started": _SIGNED}, "trainer": {"class_name": _SIGNED}},
    "markers of a card": {"trainer": {"class_name": "<!-- envpin: end -->", "package_version": "`x|<img>"}},
    "escapes": {"run": {"argv": ["\x1b]0;x\x07"]}, "trainer": {"class_name": "\x9b2J\u202e"}},
    "HTML": {"trainer": {"class_name": f"<script>{_TOUCH}</script>"}, "run": {"argv": ["</pre><script>"]}},
    "many packages": {"distributions": [{"name": f"a{n}", "version": "1"} for n in range(15_000)]},
}
_MERGES: dict[str, dict[str, Any]] = {
    "lines": {"envpin": _SIGNED, "notes": [_SIGNED]},
    "escapes": {"envpin": "\x1b[2J", "notes": ["\x1b]0;x\x07\u202e"]},
    "a file out": {"files": {"../adapter/adapter_model.safetensors": "0" * 64}},
    "a file of nothing": {"files": {"/dev/null": "0" * 64}},
    "numbers for words": {"verification": {"changed": {}, "recomputed": [], "probe": {"ratio": "x"}}},
    "numbers beyond all": {"verification": {"untouched": 10**300, "probe": {"ratio": 1e308}}},
    "a base that is a link": {"base": {"path": "\x1b[2J](http://x)", "files": {}, "id": "a/b) [x](http://evil"}},
}
_CARDS = {
    "aliases": "a: &a [x,x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)}]\n"
                                         for n in range(24)),
    "a value that holds itself": "a: &a [*a]\n",
    "an object of Python": f'a: !!python/object/apply:os.system ["{_TOUCH}"]\n',
    "deep": "a: " + "[" * 20_000 + "\n",
    "long": "a: [" + "x, " * 1_000_000 + "]\n",
    "no mapping": "- a\n",
    "a date": "date: 9999-99-99\n",
    "keys": "[a, b]: 1\n{a: b}: 2\n",
}  # fmt: skip


def with_card(text: str, folder: Path) -> None:
    recorded(folder)
    (folder / "adapter" / "README.md").write_text(f"---\n{text}---\n# x\n<!-- envpin: begin -->\n{_SIGNED}\n")


def with_tar(members: dict[str, bytes], folder: Path) -> None:
    with tarfile.open(folder / "x.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name.endswith("link"):
                info.type, info.linkname, info.size = tarfile.SYMTYPE, content.decode(), 0
            archive.addfile(info, io.BytesIO(content))


_TOP = "envpin-bundle"
_TARS: dict[str, dict[str, bytes]] = {
    "out": {f"{_TOP}/restore.sh": b"x", f"{_TOP}/../../{MARK}": b"x"},
    "a link": {f"{_TOP}/restore.sh": b"x", f"{_TOP}/link": b"/etc/passwd"},
    "no list": {f"{_TOP}/restore.sh": b"x"},
    "a list of nothing": {f"{_TOP}/restore.sh": b"x", f"{_TOP}/SHA256SUMS": b""},
    "a list of lines": {f"{_TOP}/restore.sh": b"x", f"{_TOP}/SHA256SUMS": _SIGNED.encode()},
    "another name": {"x/restore.sh": b"x"},
    "nothing": {},
}
_BUNDLE_COMMANDS = {"verify": "bundle verify x.tar", "merge": "replay merge x.tar -o out --offline",
                    "create": "env create x.tar --offline", "run": "run x.tar --offline -- true"}  # fmt: skip
_FOLDERS = {
    "a checkpoint that is the run": "ln -s . adapter/checkpoint-1",
    "a run inside itself": "ln -s ../adapter adapter/run",
    "links that meet": "ln -s ../base adapter/b; ln -s ../adapter base/a",
    "the root inside": "ln -s / adapter/checkpoint-2",
    "many checkpoints": "for n in $(seq 2000); do mkdir adapter/checkpoint-$n; done",
    "names that end lines": f"mkdir $'adapter/checkpoint-1\\n{_OUT}'; touch $'adapter/\\n{_OUT}'",
}
_NAMED = {
    "lines": r"$'a\n::error::b'",
    "a command of CI": "'##[set-output name=a]b'",
    "a marker": "'<!-- envpin: end -->'",
    "a link of Markdown": "'](http:)[x'",
}
# Who reads what of the folders.
_OF_BASE = {"check", "scan", "verify", "prove", "push", "merge", "bundle", "stack"}
_OF_HEADERS = {"check", "github", "infer", "scan", "prove", "report", "merge", "attach", "bundle"}
_OF_RECORDS = {
    "check",
    "infer",
    "scan",
    "diff",
    "report",
    "card",
    "merge",
    "train",
    "attach",
    "bundle",
    "lock",
    "create",
}


def _row(name: str, verb: str, command: str, make: Callable[[Path], None], *, first: str = "") -> Situation:
    # As in a log of CI, where a line that begins with `::` is a command; only --format github may print some.
    begins = "" if verb == "github" else r"|(?m:^\s*::\w)|##\["
    return Situation(
        name=f"{name}: {verb}", status=ANY, make=make,
        command=f"export GITHUB_ACTIONS=true UV_OFFLINE=1 VIRTUAL_ENV={sys.prefix}; {first}$E {command}",
        never=rf"Traceback|Exception ignored|\x1b|(?m:^\s*{_OUT}){begins}", after=_nothing_is_made,
    )  # fmt: skip


def _nothing_is_made(work: Path) -> None:
    """Every one of these is refused, or answered without a result that looks finished."""
    assert not list(Path(work.anchor, "tmp").glob(MARK))


def _each(verbs: set[str] | None = None) -> list[tuple[str, str]]:
    return [one for one in _COMMANDS.items() if verbs is None or one[0] in verbs]


ROWS = [
    # Every second one: each file meets each thing, and each command half of them.
    *[
        _row(f"{file} is {what}", verb, command, recorded, first=f"rm -rf {file}; {thing.replace('{}', file)}; ")
        for file in _FILES
        for what, thing in _THINGS.items()
        for verb, command in _each(_OF_BASE if "base" in file else None)
    ][::2],
    *(_row(f"a header: {what}", verb, command, make)
      for what, make in _HEADERS.items() for verb, command in _each(_OF_HEADERS)),
    *(_row(f"an index: {what}", verb, command, with_index(weights))
      for what, weights in _INDEXES.items() for verb, command in _each(_OF_BASE)),
    *(_row(f"a record with {what}", verb, command, partial(recorded, **changes))
      for what, changes in _RECORDS.items() for verb, command in _each(_OF_RECORDS)),
    *(_row(f"a merge with {what}", verb, command.replace("adapter", "base"), partial(merged, **changes))
      for what, changes in _MERGES.items()
      for verb, command in _each({"verify", "prove", "report", "card", "push", "scan", "diff"})),
    *(_row(f"a card with {what}", verb, command, partial(with_card, text))
      for what, text in _CARDS.items() for verb, command in _each({"card", "infer", "scan"})),
    *(_row(f"a base called for CI: {what}", verb, command, with_value({"base_model_name_or_path": value}))
      for what, value in {"lines": _SIGNED, "a command": "##[add-path]x"}.items() for verb, command in _each()),
    *(_row(f"a bundle with {what}", verb, command, partial(with_tar, members))
      for what, members in _TARS.items() for verb, command in _BUNDLE_COMMANDS.items()),
    *(_row(f"a bundle is {what}", verb, command, lambda _folder: None, first=f"{thing.replace('{}', 'x.tar')}; ")
      for what, thing in _THINGS.items() for verb, command in _BUNDLE_COMMANDS.items()),
    *(_row(what, verb, command, recorded, first=f"{thing}; ")
      for what, thing in _FOLDERS.items() for verb, command in _each()),
    *(_row(f"a folder called {what}", verb, command.replace("adapter", name), recorded, first=f"mv adapter {name}; ")
      for what, name in _NAMED.items() for verb, command in _each()),
]  # fmt: skip


@table(ROWS, sample=41)
def test_newest_situation(situation: Situation, tmp_path: Path) -> None:
    endure(situation, tmp_path)
