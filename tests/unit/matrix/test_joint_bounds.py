"""Single bounds of a stack: the floor of companions, the first day of a bound, torch by its CUDA."""

from __future__ import annotations

import pytest

from envpin.matrix.joint_bounds import StackBound, StackFacts, days_after, first_day, floors_of
from envpin.matrix.stack import Stack, Tool, ToolRelease
from envpin.matrix.support import ReleaseFacts, Support

TRL = Tool("trl", [ToolRelease("0.1", "2024-01-01"), ToolRelease("0.2", "2024-02-01", yanked=True),
                   ToolRelease("0.3", "2024-03-01")])  # fmt: skip
SUPPORT = Support(transformers=(ReleaseFacts("4.1", "2024-01-15"), ReleaseFacts("4.2", "2024-07-01")), model_types={})
FACTS = StackFacts(Stack({"trl": TRL}), SUPPORT)


@pytest.mark.parametrize(("day", "days", "after"), [("2024-02-28", 2, "2024-03-01"), ("2024-03-01", -1, "2024-02-29")])
def test_days_after_counts_over_months(day: str, days: int, after: str) -> None:
    assert days_after(day, days) == after


@pytest.mark.parametrize(
    ("versions", "day"),
    [(">=0.1", "2024-01-01"), (">=0.2", "2024-03-01"), ("==0.3", "2024-03-01"), ("<=0.3", None), ("!=0.1", None),
     (">=9", None)],
)  # fmt: skip
def test_a_bound_begins_with_its_first_release_that_was_not_yanked(versions: str, day: str | None) -> None:
    assert first_day(StackBound("trl", versions, "r"), FACTS.stack) == day
    assert first_day(StackBound("unknown", versions, "r"), FACTS.stack) is None


@pytest.mark.parametrize(
    ("pinned", "bounds", "floor"),
    [
        ("4.2", [], ">=0.3"),
        (None, [StackBound("transformers", ">=4.2", "r")], ">=0.3"),
        (None, [], None),  # 4.1 is the oldest let in, and nothing is older than it by three months
        ("4.2", [StackBound("trl", ">=0.1", "r")], None),
        ("9.9", [], None),
    ],
)
def test_a_floor_is_what_was_current_three_months_before(
    pinned: str | None, bounds: list[StackBound], floor: str | None
) -> None:
    found = floors_of(["trl", "unknown"], pinned, bounds, FACTS)
    assert [one.versions for one in found] == ([floor] if floor else [])
    assert all(one.floor for one in found)
