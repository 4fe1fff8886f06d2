"""Which releases are searched, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from envpin.bisect.search.axis import make_axis
from envpin.core.errors import InputError, UsageError


@dataclass(frozen=True)
class Published:
    version: str
    uploaded: datetime | None = None
    yanked: bool = False
    yanked_reason: str | None = None
    requires_python: str | None = None


def day(number: int) -> datetime:
    return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number)


RELEASES = [
    Published("1.0", day(0)),
    Published("1.1rc1", day(1)),
    Published("1.1", day(2)),
    Published("1.10", day(9), requires_python=">=3.12"),
    Published("1.2", day(3), yanked=True, yanked_reason="oops"),
    Published("1.1.1", day(8)),
    Published("2.0", None),
]


def test_order_is_by_version_without_what_nobody_installs() -> None:
    axis = make_axis("pkg", RELEASES, old="1.0", new="1.10", python="3.11")
    assert axis.versions == ("1.0", "1.1", "1.1.1", "1.10")
    assert axis.left_out == {"1.1rc1": "a pre-release", "1.2": "yanked: oops"}
    assert axis.candidates[-1].blocked == "needs Python >=3.12, this search uses 3.11"
    assert axis.candidates[0].uploaded == "2024-01-01T00:00:00Z"


def test_what_is_asked_for_is_in_and_the_ends_always_are() -> None:
    every = make_axis("pkg", RELEASES, old="1.0", new="2.0", python="3.12", prereleases=True, yanked=True)
    assert every.versions == ("1.0", "1.1rc1", "1.1", "1.1.1", "1.2", "1.10", "2.0")
    assert make_axis("pkg", RELEASES, old="1.1rc1", new="1.2", python="3.11").versions == (
        "1.1rc1", "1.1", "1.1.1", "1.2",
    )  # fmt: skip


def test_back_ports_are_known_by_their_date() -> None:
    releases = [
        Published("1.0", day(0)),
        Published("1.0.1", day(9)),
        Published("1.1", day(5)),
        Published("1.2", day(7)),
    ]
    assert make_axis("pkg", releases, old="1.0", new="1.2", python="3.11").out_of_date_order() == ("1.0.1",)


def test_missing_ends_are_named_with_their_neighbours() -> None:
    with pytest.raises(InputError, match=r"no release 1\.5 nor 3 of `pkg`") as caught:
        make_axis("pkg", RELEASES, old="1.5", new="3", python="3.11")
    assert "nearest to 1.5: 1.1.1, 1.2, 1.10, 2.0" in str(caught.value)


@pytest.mark.parametrize(("old", "new"), [("1.1", "1.0"), ("1.0", "1.0"), ("x", "1.0")])
def test_ends_that_make_no_sense(old: str, new: str) -> None:
    with pytest.raises(UsageError):
        make_axis("pkg", RELEASES, old=old, new=new, python="3.11")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), unique=True, min_size=2, max_size=20), st.randoms())
def test_any_order_of_the_index_gives_the_same_axis(numbers: list[tuple[int, int]], source: object) -> None:
    versions = sorted((f"{major}.{minor}" for major, minor in numbers), key=Version)
    shuffled = [Published(version) for version in versions]
    source.shuffle(shuffled)  # type: ignore[attr-defined]
    axis = make_axis("pkg", shuffled, old=versions[0], new=versions[-1], python="3.11")
    assert list(axis.versions) == versions
