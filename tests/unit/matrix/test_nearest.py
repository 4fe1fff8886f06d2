"""Pins of a release and its time."""

from __future__ import annotations

import datetime as dt

import pytest
from packaging.specifiers import SpecifierSet

from envpin.matrix.nearest import era_pins, own_release
from envpin.matrix.support import ReleaseFacts, Support, load_support, shipped_path
from envpin.matrix.types import Break

SUPPORT = load_support(shipped_path())


def test_what_fits_a_release_is_what_it_declares() -> None:
    never_released = set()
    for release in SUPPORT.transformers:
        pins, python, _ = era_pins(release.version, SUPPORT) or ({}, "", "")
        declared = SUPPORT.requirements(release.version)
        assert SpecifierSet(declared["python"]).contains(f"{python}.9"), release.version
        assert SpecifierSet(declared.get("torch", "")).contains(pins["torch"]), release.version
        peft = next((one for one in SUPPORT.peft if one.version == pins.get("peft")), None)
        if peft is not None:
            assert not SUPPORT.missing_names(peft, release.version)
            if not SpecifierSet(declared.get("peft", "")).contains(peft.version):
                never_released.add(declared["peft"])
    assert never_released <= {">=0.18.2", ">=0.22.0"}


@pytest.mark.parametrize(
    ("release", "newer", "python"),
    [("4.43.1", "2024-08-13", "3.11"), ("4.26.1", "2023-03-02", "3.9"), ("4.27.0", "2023-04-05", "3.11")],
)
def test_era_pins_come_from_three_weeks_after_the_release(release: str, newer: str, python: str) -> None:
    made = era_pins(release, SUPPORT)
    assert made is not None
    assert (made[0]["transformers"], made[1], made[2]) == (release, python, newer)
    assert dt.date.fromisoformat(newer) - dt.date.fromisoformat(SUPPORT.date(release) or "") == dt.timedelta(days=21)


FEW = Support(
    transformers=tuple(
        ReleaseFacts(version=version, date="2024-01-01") for version in ("4.1.0", "4.1.2", "4.2.0", "4.2.1", "5.0.0")
    ),
    model_types={"new": ((2, 4),), "gone": ((0, 1),)},
)


@pytest.mark.parametrize(
    ("kind", "own", "release"),
    [
        ("new", "4.2.0", "4.2.1"),  # its own, in its last patch
        ("new", "4.1.0", "4.2.1"),  # it did not know the type: the first that does
        ("new", None, "4.2.1"),
        ("new", "9.0.0", "5.0.0"),  # newer than was collected: the newest
        ("gone", "9.0.0", "4.1.2"),  # the last that knew it
        ("nobody", "4.1.0", "4.1.0"), ("nobody", "4.1.0.dev0", "4.1.0"), ("nobody", "9.0.0", "5.0.0"),
        ("nobody", None, None),
    ],
)  # fmt: skip
def test_own_release_by_what_the_config_says_and_who_knows_the_type(
    kind: str, own: str | None, release: str | None
) -> None:
    found, why = own_release(kind, own, FEW)
    assert found == release
    assert why


@pytest.mark.parametrize(
    ("own", "release"),
    [("4.21.0.dev0", "4.21.0"), ("4.21", "4.21.0"), ("4", None), ("4.1.2.3", None), ("soon", None), (None, None)],
)
def test_own_release_without_support_is_the_number_of_the_config(own: str | None, release: str | None) -> None:
    assert own_release("x", own, None) == (release, [])


def test_era_pins_end_with_what_was_collected() -> None:
    newest = SUPPORT.newest()
    _, _, newer = era_pins(newest, SUPPORT) or ({}, "", "9")
    assert newer <= SUPPORT.collected


def test_era_pins_avoid_a_peft_that_a_break_names_alongside_the_release() -> None:
    known = Break(
        package="peft", versions="==0.19.1", alongside={"transformers": ">=5.6"}, title="t", affects=("reload",),
        ways_out=("peft >= 0.20",), source="s",
    )  # fmt: skip
    plain, _, early = era_pins("5.11.0", SUPPORT) or ({}, "", "")
    pins, _, late = era_pins("5.11.0", SUPPORT, {"known": known}) or ({}, "", "")
    assert (plain["peft"], pins["peft"]) == ("0.19.1", "0.20.0")
    assert late >= early
    before, _, _ = era_pins("5.5.4", SUPPORT, {"known": known}) or ({}, "", "")
    assert before == (era_pins("5.5.4", SUPPORT) or ({}, "", ""))[0]
