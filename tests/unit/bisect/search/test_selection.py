"""Which point is run next: the rankings, as properties, and the numbers that decide."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from envpin.bisect.search import selection
from envpin.bisect.search.selection import best_inside, sample_outside

POSITIVE = st.floats(0.01, 100)
NOBODY: frozenset[int] = frozenset()


def best(prior: list[float], cost: list[float], low: int, high: int, masked: frozenset[int] = NOBODY) -> int | None:
    found = best_inside(prior, cost, low, high, tested={low, high}, masked=masked, patience=0.12)
    return None if found is None else found[0]


def test_testable_without_any_skip_is_all_but_the_usual_share() -> None:
    assert selection.testable(5, tested={0, 9}, masked=NOBODY, size=10) == pytest.approx(0.96)


@given(st.integers(20, 200), st.data())
def test_testable_falls_towards_an_untestable_point(size: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(1, size - 3))
    chances = [selection.testable(at, tested={size - 1}, masked={bad}, size=size) for at in range(bad + 1, size - 1)]
    assert chances == sorted(chances)
    assert all(0 < one < 1 for one in chances)


def test_testable_reaches_further_the_more_points_were_skipped() -> None:
    one = selection.testable(10, tested={0, 99}, masked={20}, size=100)
    block = selection.testable(10, tested={0, 99}, masked={20, 21, 22, 23}, size=100)
    assert block < one
    assert selection.testable(10, tested={0, 99, 9}, masked={20}, size=100) > one, (
        "a neighbour that was tested speaks for it"
    )
    # Pinned, so that the rate and the reach do not move unnoticed.
    assert [round(value, 3) for value in (one, block)] == [0.948, 0.52]


@given(st.integers(3, 300))
def test_best_inside_halves_where_nothing_is_known(size: int) -> None:
    assert best([1.0] * size, [1.0] * size, 0, size - 1) in {(size - 1) // 2, size // 2}


@given(st.integers(5, 60), st.data())
def test_best_inside_never_chooses_a_masked_point_or_an_edge(size: int, data: st.DataObject) -> None:
    prior = data.draw(st.lists(POSITIVE, min_size=size, max_size=size))
    cost = data.draw(st.lists(POSITIVE, min_size=size, max_size=size))
    masked = frozenset(data.draw(st.sets(st.integers(1, size - 2))))
    found = best(prior, cost, 0, size - 1, masked)
    assert found is None or (0 < found < size - 1 and found not in masked)


@given(st.integers(4, 60), st.data())
def test_best_inside_prefers_the_cheaper_of_two_points_that_say_the_same(size: int, data: st.DataObject) -> None:
    middle = size // 2
    assume(size % 2 == 0)
    cost = [1.0] * size
    cost[middle] = 3.0  # of the two middle points, the second
    assert best([1.0] * size, cost, 0, size - 1) == middle - 1


def test_best_inside_gives_up_below_the_patience() -> None:
    masked = frozenset(range(2, 29)) - {15}
    arguments = {"tested": {0, 1, 29}, "masked": masked}
    assert best_inside([1.0] * 30, [1.0] * 30, 1, 29, patience=0.5, **arguments) is None
    found = best_inside([1.0] * 30, [1.0] * 30, 1, 29, patience=0.0, **arguments)
    assert found is not None
    assert found[0] == 15


def test_sample_outside_asks_each_side_for_its_share_in_its_widest_gap() -> None:
    flat = [1.0] * 40

    def sample(tested: set[int], wanted: int = 1, cost: list[float] = flat) -> int | None:
        return sample_outside(flat, cost, 19, 20, tested=tested, masked=NOBODY, wanted=wanted)

    assert sample({0, 19, 20, 39}) == 9, "the middle of the older side first"
    assert sample({0, 9, 19, 20, 39}) == 29, "then the middle of the newer side"
    assert sample({0, 9, 19, 20, 29, 39}) is None
    assert sample({0, 5, 19, 20, 39}, wanted=2) == 12, "the widest gap, not the first"
    dear = [1.0] * 40
    dear[9] = 2.0
    assert sample({0, 19, 20, 39}, cost=dear) == 10, "its neighbour, which costs half"


def test_sample_outside_leaves_a_side_alone_whose_points_are_probably_untestable() -> None:
    flat = [1.0] * 12
    masked = set(range(1, 9)) - {4}
    assert sample_outside(flat, flat, 9, 10, tested={0, 9, 10, 11}, masked=masked, wanted=1) is None
