"""What killed processes have left goes, and nothing of the living does."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from envpin.core import files, runs, scratch
from envpin.core.files import write_atomically
from envpin.core.runs import RUN_PREFIX, RUN_VARIABLE, is_over, own_name

pytestmark = pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="only /proc tells who lives")


def dead() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_the_next_write_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    left = tmp_path / f".envpin-{dead()}-0123456789ab.tmp"
    living = tmp_path / f".envpin-{os.getppid()}-0123456789ab.tmp"
    elsewhere = tmp_path / f".envpin-{dead()}-ba9876543210.tmp"
    for one in (left, living, elsewhere):
        one.write_text("{")
    with elsewhere.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as a writer on another machine does
        write_atomically(tmp_path / "new", "x")
        assert {one.name for one in tmp_path.iterdir()} == {"new", living.name, elsewhere.name}
    files._tidied.clear()  # as in another process
    write_atomically(tmp_path / "new", "y")
    assert {one.name for one in tmp_path.iterdir()} == {"new", living.name}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "_cleared", [])
    return tmp_path


def run_folder(folder: Path, owner: str) -> Path:
    found = folder / f"{RUN_PREFIX}{owner}-0123456789abcdef"
    found.mkdir()
    os.utime(found, (0, 0))
    return found


def test_the_folder_of_a_run_goes_when_its_last_process_has_ended(temporary: Path) -> None:
    folder = run_folder(temporary, f"{runs._name_space()}-{dead()}")
    training = subprocess.Popen(["sleep", "60"], env={**os.environ, RUN_VARIABLE: str(folder)})
    try:
        assert is_over(str(folder)) is False
        scratch.clear_leftovers()
        assert folder.exists(), "its run goes on"
    finally:
        training.kill()
        training.wait()
    scratch._cleared.clear()
    scratch.clear_leftovers()
    assert not folder.exists()


def test_the_folder_of_a_run_that_is_waited_for_stays_however_old(temporary: Path) -> None:
    folder = run_folder(temporary, own_name())
    scratch.clear_leftovers()
    assert folder.exists()


def test_the_folder_of_a_run_in_another_name_space_stays_for_weeks(temporary: Path) -> None:
    folder = run_folder(temporary, f"1-{dead()}")
    os.utime(folder)
    scratch.clear_leftovers()
    assert is_over(str(folder)) is None
    assert folder.exists()
