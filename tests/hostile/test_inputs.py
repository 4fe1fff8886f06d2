"""Devices, pipes, loops, names and values of strangers, in every command that reads a folder or a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.hostile.situation import MARK, Situation, endure, table
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPEN = (0, 1, 2, 5)  # any answer, so long as it is one

# What a file may be instead of one. `{}` is its path.
_THINGS = {
    "a pipe": "mkfifo {}",
    "an endless device": "ln -s /dev/zero {}",
    "a device of nothing": "ln -s /dev/null {}",
    "a terminal": "ln -s /dev/tty {}",
    "a loop of links": "ln -s $(basename {}) {}",
    "a link to nowhere": "ln -s nowhere-at-all {}",
    "a folder": "mkdir {}",
    "no permission": "touch {}; chmod 0 {}",
    "empty": ": >{}",
    "NULs": "head -c 1000 /dev/zero >{}",
    "random bytes": "head -c 5000 /dev/urandom >{}",
    "a huge hole": "truncate -s 300G {}",
    "deep arrays": "$PY -c 'print(\"[\" * 100000)' >{}",
    "deep objects": '$PY -c \'print("{\\"a\\":" * 5000 + "1" + "}" * 5000)\' >{}',
    "an escape sequence": "printf '\\033]0;x\\007\\033[2J' >{}",
    "a memory file": "ln -s /proc/self/mem {}",
    "a kernel file": "ln -s /proc/kmsg {}",
}
_FILES = ("adapter/adapter_config.json", "adapter/adapter_model.safetensors", "adapter/envpin.json", "base/config.json",
          "base/model.safetensors", "base/tokenizer.json", "adapter/tokenizer_config.json",
          "base/envpin-merge.json")  # fmt: skip
_COMMANDS = {"check": "check adapter --base base", "infer": "infer adapter", "scan": "scan ."}

# Values of an adapter_config.json.
_VALUES: dict[str, dict[str, Any]] = {
    "alpha NaN": {"lora_alpha": float("nan")},
    "alpha Infinity": {"lora_alpha": float("inf")},
    "alpha minus Infinity": {"lora_alpha": float("-inf")},
    "alpha huge": {"lora_alpha": 10**400},
    "alpha a string": {"lora_alpha": "16"},
    "alpha an object": {"lora_alpha": {}},
    "rank zero": {"r": 0},
    "rank negative": {"r": -8},
    "rank huge": {"r": 10**30},
    "rank a list": {"r": [8]},
    "rank NaN": {"r": float("nan")},
    "base a list": {"base_model_name_or_path": ["x"]},
    "base a path out": {"base_model_name_or_path": "../../etc"},
    "base a device": {"base_model_name_or_path": "/dev/zero"},
    "base NUL": {"base_model_name_or_path": "a\0b"},
    "base an escape": {"base_model_name_or_path": "\x1b]0;evil\x07\x1b[2J"},
    "base long": {"base_model_name_or_path": "x" * 9000},
    "base a surrogate": {"base_model_name_or_path": "a\udcffb"},
    "base newline": {"base_model_name_or_path": "x\nerror: y"},
    "base bidi": {"base_model_name_or_path": "ab\u202egnp.exe"},
    "peft version digits": {"peft_version": "9" * 5000},
    "peft version words": {"peft_version": "\x1b[31mred"},
    "peft version a list": {"peft_version": [1]},
    "pattern endless": {"target_modules": "(a+)+b"},
    "pattern broken": {"target_modules": "("},
    "pattern a number": {"target_modules": 7},
    "rank_pattern endless": {"rank_pattern": {"(a+)+b": 4}},
    "rank_pattern a list": {"rank_pattern": [1]},
    "modules_to_save a number": {"modules_to_save": 5},
    "import": {"megatron_core": "os", "megatron_config": {"x": 1}},
    "mapping": {"auto_mapping": {"parent_library": "os"}},
    "mapping a list": {"auto_mapping": [1]},
    "peft_type unknown": {"peft_type": "\x9b31mEVIL"},
    "peft_type a list": {"peft_type": ["LORA"]},
    "task_type an object": {"task_type": {"a": 1}},
    "revision": {"revision": "../x"},
    "dropout NaN": {"lora_dropout": float("nan")},
    "key an escape": {"\x1b[2Jkey": 1},
    "many keys": {str(n): n for n in range(50000)},
}
# Values of envpin.json.
_MANIFESTS: dict[str, Any] = {
    "no object": [1],
    "schema huge": {"schema": 10**40},
    "schema a string": {"schema": "1"},
    "empty": {},
    "a version of digits": {"schema": 1, "distributions": [{"name": "torch", "version": "9" * 5000}]},
    "a name out": {"schema": 1, "distributions": [{"name": "../../x", "version": "1"}]},
    "an escape": {"schema": 1, "distributions": [{"name": "peft", "version": "\x1b[2J"}]},
    "a date": {"schema": 1, "run": {"started": "9999-12-31T23:59:59Z", "saved": "9999-12-31T23:59:59Z"}},
    "no date": {"schema": 1, "run": {"started": "\x1b[2J"}},
    "a base out": {"schema": 1, "base": {"path": "/dev/zero"}},
    "a direct url": {"schema": 1, "distributions": [{"name": "peft", "version": "1", "direct_url": "file:///etc/x"}]},
    "rows negative": {"schema": 1, "base": {"embedding_rows": -1}},
    "python": {"schema": 1, "python": {"version": "9" * 5000}},
    "faults": {"schema": 1, "faults": ["\x1b]0;x\x07"]},
    "files out": {"schema": 1, "saved": {"kind": "adapter", "files": {"../x": "0"}}},
}
_LOCK = 'lock-version = "1.0"\ncreated-by = "x"\n'
_PACKAGE = _LOCK + '[[packages]]\nname = "{}"\nversion = "{}"\n'
_LOCKS = {
    "deep": "a = " + "[" * 3000,
    "digits": "lock-version = " + "9" * 6000,
    "empty": "",
    "NUL": "\0",
    "escape": 'lock-version = "1.0\x1b"',
    "a version of digits": _PACKAGE.format("a", "9" * 5000),
    "a name out": _PACKAGE.format("../a", "1"),
    "a date": _PACKAGE.format("a", "1")
    + '[[packages.wheels]]\nname = "a-1-py3-none-any.whl"\nupload-time = 9999-12-31T23:59:59Z\nurl = "x"\n'
    + '[packages.wheels.hashes]\nsha256 = "0"',
}
_NAMES = {
    "newline": r"$'a\nb'",
    "escape": r"$'\033[2Jx'",
    "not UTF-8": r"$'\xff\xfe'",
    "a dash": "./--help",
    "spaces": "'a b  c'",
    "quotes": "\\''\"'",
    "a dollar": "'$(touch " + MARK + ")'",
    "bidi": r"$'\xe2\x80\xaegnp'",
    "long": "$(printf 'a%.0s' {1..255})",
    "a semicolon": "'; touch " + MARK + ";'",
    "HTML": "'<img src=x onerror=alert(1)>'",
    "a tilde": "'./~'",
}


def plain(folder: Path) -> None:
    """An adapter and its base that fit."""
    shapes = llama_shapes()
    write_model(folder / "base", shapes)
    write_adapter(folder / "adapter", lora_shapes(shapes))


def with_value(values: dict[str, Any]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        plain(folder)
        path = folder / "adapter" / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return make


def with_manifest(document: object) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        plain(folder)
        (folder / "adapter" / "envpin.json").write_text(json.dumps(document))

    return make


def with_lock(text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "pylock.x.toml").write_text(text)

    return make


def _changed(thing: str, file: str) -> str:
    return f"rm -rf {file}; {thing.replace('{}', file)}"


ROWS = [
    *(
        Situation(
            name=f"{file} is {what}: {verb}", command=f"{_changed(thing, file)}; $E {command}", status=OPEN, make=plain
        )
        for file in _FILES
        for what, thing in _THINGS.items()
        for verb, command in _COMMANDS.items()
    ),
    *(
        Situation(name=f"{what}: {verb}", command=f"$E {command}", status=OPEN, make=with_value(values))
        for what, values in _VALUES.items()
        for verb, command in {
            **_COMMANDS,
            "json": "check adapter --base base --json",
            "diff": "diff adapter base",
        }.items()
    ),
    *(
        Situation(
            name=f"alpha {what} is a blocker",
            command="$E check adapter --base base",
            status=1,
            says="alpha",
            make=with_value({"lora_alpha": float(what)}),
        )
        for what in ("nan", "inf", "-inf")
    ),
    *(
        Situation(
            name=f"manifest {what}: {verb}",
            command=f"$E {command}",
            status=(0, 1, 2, 3, 4, 5),
            make=with_manifest(document),
        )
        for what, document in _MANIFESTS.items()
        for verb, command in {
            **_COMMANDS,
            "diff": "diff adapter adapter",
            "attach": "record --attach adapter",
            "lock": "lock adapter --offline",
        }.items()
    ),
    *(
        Situation(name=f"lock {what}: {verb}", status=(0, 2, 3, 5), command=f"$E {command}", make=with_lock(text))
        for what, text in _LOCKS.items()
        for verb, command in {
            "diff": "diff pylock.x.toml pylock.x.toml",
            "create": "env create pylock.x.toml --offline",
            "run": "run pylock.x.toml --offline -- true",
        }.items()
    ),
    *(
        Situation(
            name=f"a folder called {what}: {verb}",
            command=f"mv adapter {name} 2>/dev/null || exit 77; $E {command}",
            status=(*OPEN, 77),
            make=plain,
        )
        for what, name in _NAMES.items()
        for verb, command in {
            "check": f"check {name} --base base",
            "scan": "scan .",
            "html": "scan . --html x.html",
            "json": "scan . --json",
        }.items()
    ),
]


@table(ROWS, sample=29)
def test_input_situation(situation: Situation, tmp_path: Path) -> None:
    endure(situation, tmp_path)
