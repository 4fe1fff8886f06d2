"""What "the same version" means: each meaning by a table."""

from __future__ import annotations

import pytest

from envpin.core.versions import release_of, same_build, same_release


@pytest.mark.parametrize(
    ("one", "other", "release", "build"),
    [
        ("2.3.0", "2.3.0", True, True),
        ("2.3.0+cu121", "2.3.0+cpu", True, False),
        ("2.3.0+cu121", "2.3.0", True, False),
        ("2.3.0+CU121", "2.3.0+cu121", True, True),
        ("2.3", "2.3.0", True, True),
        ("2.3.0", "2.3.1", False, False),
        ("2.3.0", "2.30", False, False),
        ("0.6.3.dev0@1a2b3c", "0.6.3.dev0", True, True),
        ("0.6.3.dev0", "0.6.3", False, False),
        ("4.41.0rc1", "4.41.0.rc1", True, True),  # two spellings that PEP 440 holds for one
        ("4.41.0.post1", "4.41.0", False, False),
        ("v4.41.0", "4.41.0", True, True),
        ("main", "main", True, True),  # no version at all: as it is written
        ("main", "mine", False, False),
        ("1" * 5000, "1" * 5000, True, True),
        (None, "2.3.0", False, False),
        (None, None, True, True),
    ],
)
def test_same_release_and_same_build(one: str | None, other: str | None, release: bool, build: bool) -> None:
    assert same_release(one, other) is same_release(other, one) is release
    assert same_build(one, other) is same_build(other, one) is build


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("2.3.0+cu121", "2.3.0"),
        ("0.6.3.dev0@1a2b3c", "0.6.3.dev0"),
        ("2.3", "2.3"),
        ("4.41.0.RC1", "4.41.0rc1"),
        ("1.0+git.abc+x", "1.0"),
        ("", ""),
    ],
)
def test_release_of_is_what_a_pin_can_ask_for(version: str, release: str) -> None:
    assert release_of(version) == release
