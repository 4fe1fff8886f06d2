"""`envpin matrix html` from the command line: where it writes, and what it leaves alone."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command import answer, envpin

if TYPE_CHECKING:
    from pathlib import Path


def test_it_writes_here_and_writes_again(tmp_path: Path) -> None:
    for _ in range(2):
        completed = envpin("matrix", "html", cwd=tmp_path)
        assert completed.status == 0, completed.stderr
        assert completed.stdout.startswith("envpin-matrix.html: ")
    assert [one.name for one in tmp_path.iterdir()] == ["envpin-matrix.html"]
    text = (tmp_path / "envpin-matrix.html").read_text(encoding="utf-8")
    assert envpin("matrix", "html", "-o", "-", cwd=tmp_path).stdout == text


def test_json(tmp_path: Path) -> None:
    document = answer("matrix", "html", "-o", tmp_path / "a b.html")
    assert document["bytes"] == (tmp_path / "a b.html").stat().st_size
    assert document["families"] > 70


def test_a_file_that_is_something_else_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.html").write_text("<h1>mine</h1>")
    for target in (tmp_path / "notes.html", tmp_path):
        completed = envpin("matrix", "html", "-o", target)
        assert completed.status == 5
        assert "hint: name another file with -o" in completed.stderr
    assert (tmp_path / "notes.html").read_text() == "<h1>mine</h1>"


def test_a_matrix_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('schema = 1\n[families.x]\ntitle = "Ours"\nunpinnable = "an example"\n')
    completed = envpin("matrix", "html", "--matrix", "mine.toml", "-o", "-", cwd=tmp_path)
    assert completed.status == 0, completed.stderr
    assert "1 model families" not in completed.stdout
    assert "Ours" in completed.stdout
    (tmp_path / "mine.toml").write_text("schema = ")
    assert envpin("matrix", "html", "--matrix", "mine.toml", cwd=tmp_path).status == 2
    assert not (tmp_path / "envpin-matrix.html").exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_place(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    completed = envpin("matrix", "html", "-o", tmp_path / "m.html")
    assert completed.status == 4


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    completed = envpin("matrix", "html", "-o", tmp_path / "file" / "m.html")
    assert completed.status == 4
    assert "cannot be written" in completed.stderr
