"""The constants of an era, each by what it decides."""

from __future__ import annotations

import pytest

from envpin.core.eras import COMPANION_DAYS, SETTLING_DAYS, python_of


@pytest.mark.parametrize(
    ("day", "python"), [("2023-03-14", "3.9"), ("2023-03-15", "3.11"), ("2021-01-01", "3.9"), ("2026-01-01", "3.11")]
)
def test_python_of_turns_with_the_first_torch_for_3_11(day: str, python: str) -> None:
    assert python_of(day) == python


def test_companions_have_a_week_and_neighbours_three() -> None:
    """Moving either moves every resolution and every proposal: the locks that travel with envpin are made with them."""
    assert (COMPANION_DAYS, SETTLING_DAYS) == (7, 21)
