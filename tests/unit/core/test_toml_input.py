"""TOML that others wrote: one error for everything that can be wrong."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError
from envpin.core.toml_input import BadTomlError, parse_toml
from envpin.diagnose.target import versions_of
from envpin.envs.locks.lock import read_lock
from envpin.matrix.load import load_matrix

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BAD = {
    "cut off": "x = [1,",
    "twice": "x = 1\nx = 2",
    "deep": "x = " + "[" * 3000 + "]" * 3000,
    "long": "x = " + "9" * 5000,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_parse_toml_has_one_error(text: str) -> None:
    with pytest.raises(BadTomlError, match=r"."):
        parse_toml(text)


@pytest.mark.parametrize("read", [read_lock, load_matrix, lambda path: versions_of(str(path))],
                         ids=["lock", "matrix", "target"])  # fmt: skip
@pytest.mark.parametrize("kind", [*BAD, "binary", "pipe", "loop", "folder"])
def test_locks_and_matrices_are_refused_with_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object], kind: str
) -> None:
    monkeypatch.setenv("ENVPIN_HOME", str(tmp_path / "home"))
    path = tmp_path / "pylock.toml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"x = '\xe9'")
    else:
        path.write_text(BAD[kind])
    with pytest.raises(InputError) as caught:
        read(path)
    assert "Traceback" not in caught.value.message
    assert str(path) in caught.value.message
