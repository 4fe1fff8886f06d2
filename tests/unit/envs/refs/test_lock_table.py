"""The table of the committed locks: every family that has one is found in it, and the locks promise what it says."""

from __future__ import annotations

import re

from envpin.core.resources import data_path
from envpin.envs.locks.left_out import NEWEST_MINOR, OLDEST_MINOR
from envpin.envs.locks.lock import lock_file_name, read_lock
from envpin.envs.locks.portable import PLATFORMS
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
    everywhere = "linux-x86_64, linux-aarch64, macos-arm64, windows-x86_64"
    assert line.startswith(f"{everywhere} with Python 3.13 to 3.15: no wheel of ")


def test_every_python_of_every_platform_is_promised_or_left_out_with_a_reason() -> None:
    for stem, lock in LOCKS.items():
        tool = (lock.pylock.tool or {})["envpin"]
        reasons: dict[tuple[str, int], str] = {}
        for line in tool["left-out"]:
            platforms, span, why = re.fullmatch(r"(.+) with Python ([\d. to]+): (.+)", line).groups()  # type: ignore[union-attr]
            first, last = (int(one.split(".")[1]) for one in (span.split(" to ") * 2)[:2])
            reasons |= {(name, minor): why for name in platforms.split(", ") for minor in range(first, last + 1)}
        for platform in PLATFORMS:
            promised = {int(one.split(".")[1]) for one in tool["proven"].get(platform.name, [])}
            for minor in range(OLDEST_MINOR, NEWEST_MINOR + 1):
                assert (minor in promised) != bool(reasons.get((platform.name, minor))), (stem, platform.name, minor)


def test_a_lock_that_begins_late_says_which_package_asks_for_that() -> None:
    tool = LOCKS["internlm3"].pylock.tool
    assert tool is not None
    assert any(
        "with Python 3.10: transformers 5.23.0 declares Python >=3.11" in one for one in tool["envpin"]["left-out"]
    )
