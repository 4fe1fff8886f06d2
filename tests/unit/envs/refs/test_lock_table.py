"""The table of the committed locks: every family that has one is found in it, and the locks promise what it says."""

from __future__ import annotations

from envpin.core.resources import data_path
from envpin.envs.locks.lock import lock_file_name, read_lock
from envpin.envs.refs.family import committed_requests, lock_python
from envpin.envs.refs.lock_table import lock_table
from envpin.matrix.load import load_matrix

MATRIX = load_matrix(data_path("compat_matrix.toml"))
FOLDER = data_path("lockfiles")
LOCKS = {stem: read_lock(FOLDER / lock_file_name(stem)) for stem in committed_requests(MATRIX)}


def test_the_committed_table_is_the_one_that_the_command_writes() -> None:
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == lock_table(MATRIX, LOCKS)


def test_every_family_with_proved_pins_has_a_lock_that_is_found_by_its_name() -> None:
    text = lock_table(MATRIX, LOCKS)
    proved = [one for one in MATRIX.families.values() if one.grade == "merge-verified"]
    assert len(proved) >= 85
    for family in proved:
        assert family.lock in LOCKS
        assert f"| `{family.id}` | [`{family.lock}`]({lock_file_name(family.lock or '')})" in text


def test_locks_are_for_macos_too_and_for_the_pythons_that_transformers_allows() -> None:
    for stem, lock in LOCKS.items():
        assert lock.pylock.tool is not None
        proven = lock.pylock.tool["envpin"]["proven"]
        assert {"linux-x86_64", "linux-aarch64", "macos-arm64", "windows-x86_64"} <= set(proven), stem
        lowest = "3.11" if stem == "internlm3" else "3.10"
        assert all(pythons[0] == lowest for pythons in proven.values()), stem


def test_the_lowest_python_is_what_transformers_declares() -> None:
    assert lock_python(MATRIX.families["llama3.1"]) == "3.10"
    assert lock_python(MATRIX.families["internlm3"]) == "3.11", "5.21 and later need it"


def test_what_is_left_out_is_named_with_the_missing_wheel() -> None:
    tool = LOCKS["llama3-1"].pylock.tool
    assert tool is not None
    (line,) = tool["envpin"]["left-out"]
    assert line.startswith("linux-x86_64, linux-aarch64, macos-arm64, windows-x86_64 with Python 3.13: no wheel of ")
