"""The order of candidate pins: what was of the day first, each era once before any twice, nothing that cannot go
together."""

from __future__ import annotations

import datetime as dt
from functools import cache

import pytest
from packaging.version import Version

from envpin.inference.choose import CandidatePins, Preferences, candidates, fits
from envpin.inference.combine import Signal, combine
from envpin.inference.versions import known_releases
from envpin.matrix.support import load_support, shipped_path
from envpin.matrix.types import Relation

KNOWN, SUPPORT = known_releases(), load_support(shipped_path())
RELEASED = tuple(one.version for one in SUPPORT.peft)
FACTS = {one.version: one for one in SUPPORT.peft}
# Where names of adapters or imports changed, from the release notes and docs/explanation/inference.md, not the code.
PEFT_ERAS = ("0.10", "0.14", "0.16", "0.18", "0.19")
TRANSFORMERS_ERAS = ("4.43", "4.52", "5.0")


def chosen(*signals: Signal, preferences: Preferences | None = None) -> tuple[CandidatePins, ...]:
    ranges = {name: combine(signals, releases) for name, releases in KNOWN.items()}
    return candidates(ranges, KNOWN, SUPPORT, preferences or Preferences())


def pair(one: CandidatePins) -> tuple[str, str]:
    return one.pins["peft"], one.pins["transformers"]


def era(one: CandidatePins) -> tuple[int, int]:
    peft, transformers = map(Version, pair(one))
    return sum(peft >= Version(one) for one in PEFT_ERAS), sum(
        transformers >= Version(one) for one in TRANSFORMERS_ERAS
    )


@pytest.mark.parametrize(
    ("day", "first"),
    [
        ("2023-02-20", ("0.1.0", "4.26.1")), ("2023-09-20", ("0.5.0", "4.33.3")), ("2024-01-10", ("0.7.1", "4.36.2")),
        ("2024-08-20", ("0.12.0", "4.44.2")), ("2025-03-01", ("0.14.0", "4.49.0")),
        ("2025-07-01", ("0.15.2", "4.53.3")), ("2026-03-01", ("0.18.1", "5.2.0")),
    ],
)  # fmt: skip
def test_candidates_begin_with_the_pair_that_pip_gave_on_the_day(day: str, first: tuple[str, str]) -> None:
    found = chosen(preferences=Preferences(day=dt.date.fromisoformat(day)))
    assert pair(found[0]) == first


@pytest.mark.parametrize("day", [dt.date(2023, 6, 1), dt.date(2024, 8, 20), dt.date(2026, 3, 1)])
def test_candidates_try_each_era_once_and_nearest_to_the_day_first(day: dt.date) -> None:
    found = chosen(preferences=Preferences(day=day))
    eras = [era(one) for one in found]
    assert len(set(eras[: len(set(eras))])) == len(set(eras)), "an era came twice before another came once"
    best: dict[tuple[int, int], CandidatePins] = {}
    for one in found:
        best.setdefault(era(one), one)
    for one in found:  # of the same peft and transformers series, the one of its era's head is not farther from the day
        assert distance(best[era(one)], day) <= distance(one, day) + 0.05


def distance(one: CandidatePins, day: dt.date) -> float:
    """In the units of the score: days of peft from transformers, and half the days of each from `day`, by sixty."""
    spans = [reign(name, version) for name, version in zip(("peft", "transformers"), pair(one), strict=True)]
    here = [(day - last).days if last < day else max(0, (first - day).days) for first, last in spans]
    (a, b), (c, d) = spans
    return max(0, (c - b).days, (a - d).days) / 60 + sum(here) / 120


@cache
def reign(package: str, version: str) -> tuple[dt.date, dt.date]:
    releases = KNOWN[package]
    series = [one for one in releases.versions if one.split(".")[:2] == version.split(".")[:2]]
    after = releases.versions[releases.position[series[-1]] + 1 :]
    return (
        dt.date.fromisoformat(releases.dates[series[0]]),
        dt.date.fromisoformat(releases.dates[after[0]]) if after else dt.date.max,
    )


def test_candidates_begin_with_the_familys_known_good_pair() -> None:
    found = chosen(preferences=Preferences(pins={"transformers": "4.43.1", "peft": "0.12.0"}))
    assert pair(found[0]) == ("0.12.0", "4.43.1")
    assert found[0].why == ("the transformers that the matrix pins for this base",)
    assert all(not one.why for one in found[1:] if pair(one)[1] != "4.43.1")


def test_candidates_are_the_newest_where_nothing_else_speaks() -> None:
    peft, transformers = pair(chosen()[0])
    assert peft == [one for one in KNOWN["peft"].versions if one not in KNOWN["peft"].yanked][-1]
    assert transformers.split(".")[0] == KNOWN["transformers"].versions[-1].split(".")[0]


def stated(package: str, version: str) -> Signal:
    return Signal(package=package, strength="strong", file="f", says="x", admits=frozenset({version}), stated=True)


@pytest.mark.parametrize(
    ("peft", "transformers", "newer", "python"),
    [
        ("0.12.0", "4.43.1", "2024-08-14", "3.11"),  # three weeks after peft 0.12.0 of 2024-07-24
        ("0.2.0", "4.26.1", "2023-03-30", "3.11"),  # past the first torch with wheels for Python 3.11, of 2023-03-15
        ("0.1.0", "4.26.1", "2023-03-03", "3.9"),
    ],
)
def test_a_candidate_comes_from_three_weeks_after_its_newer_part(
    peft: str, transformers: str, newer: str, python: str
) -> None:
    (found,) = chosen(stated("peft", peft), stated("transformers", transformers))
    assert (*pair(found), found.exclude_newer, found.python) == (peft, transformers, newer, python)


@pytest.mark.parametrize(
    ("peft", "transformers", "together"),
    [
        ("0.18.1", "5.4.0", True),  # asks for 0.18.0
        ("0.17.1", "5.4.0", False),
        ("0.18.1", "5.8.0", True),  # asks for >=0.18.2, which nobody could have then: 0.18.1 went with it
        ("0.17.0", "4.43.1", False),  # imports what 4.43 does not have
        ("0.21.2", "5.24.0", True),  # asks for >=0.22.0, which there is not
        ("0.18.1", "5.13.0", False),  # asks for >=0.19.1, which there is
    ],
)
def test_fits_by_what_transformers_asks_of_peft(peft: str, transformers: str, *, together: bool) -> None:
    floor = SUPPORT.requirements(transformers).get("peft")
    found = fits(peft, transformers, FACTS[peft], SUPPORT, Preferences(), released=RELEASED, floor=floor)
    assert found is together


def test_fits_by_the_type_and_the_relations() -> None:
    def fit(preferences: Preferences) -> bool:
        return fits("0.12.0", "4.43.1", FACTS["0.12.0"], SUPPORT, preferences, released=RELEASED)

    def related(needs: str) -> Preferences:
        relation = Relation(package="transformers", versions=">=4.43,<4.44", other="peft", needs=needs, reason="r")
        return Preferences(relations=(relation,))

    assert fit(Preferences(kind="llama"))
    assert not fit(Preferences(kind="qwen3"))
    assert not fit(related(">=0.13"))
    assert fit(related(">=0.12"))
    assert fit(related(">=99")), "no release is what it asks for"
