"""Commands that run another one in an environment of their own making, which a repeat rebuilds itself. Pure."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# `uv run train.py`, `conda run -n env python train.py`: their second word is `run`.
_RUNNERS = frozenset({"uv", "poetry", "pdm", "hatch", "pipenv", "rye", "pixi", "conda", "mamba", "micromamba"})
_PYTHON = re.compile(r"python(?:[0-9.]*)?(?:\.exe)?$")


def base_name(word: str) -> str:
    """The last part of a path of any system."""
    return word.replace("\\", "/").rpartition("/")[2]


def is_python(word: str) -> bool:
    """Whether a word is the name or path of an interpreter."""
    return _PYTHON.match(base_name(word)) is not None


def beside_interpreter(value: str, executable: str | None, directory: str | None) -> str | None:
    """The name of a program that lies next to the interpreter `executable`, where `value` is its path as seen from
    `directory`; else None."""
    if not executable or "/" not in value:
        return None
    path = PurePath(os.path.normpath(PurePath(directory or "/", value)))
    return path.name if path.parent == PurePath(os.path.normpath(executable)).parent else None


def without_runner(command: Sequence[str], is_program: Callable[[str], bool]) -> tuple[str, ...]:
    """What `uv run` and its like would run, with `python` in front of a script; any other command as it is, and one in
    which no word is seen to be a program (`is_program`), an interpreter or a script."""
    words = tuple(command)
    if len(words) < 3 or base_name(words[0]).removesuffix(".exe") not in _RUNNERS or "run" not in words[1:]:
        return words
    for at in range(words.index("run") + 1, len(words)):
        word = words[at]
        if word in {"-m", "--module"}:
            return ("python", "-m", *words[at + 1 :])
        if word.endswith((".py", ".pyw")):
            return ("python", *words[at:])
        if is_python(word) or is_program(word):
            return words[at:]
    return words
