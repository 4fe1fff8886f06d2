"""The minimal set of moves: on every planted cause, whatever moves together, resumable from what has been tested."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from envpin.bisect.environments.changed import (
    Minimal,
    PackageChange,
    Subset,
    Tested,
    Trial,
    closure,
    dependents,
    next_step,
    plan,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = [f"p{number:02}" for number in range(25)]
CHANGES = [PackageChange(package=name, good="1.0", bad="2.0") for name in NAMES]


def free(moved: Subset) -> Subset:
    return moved


def solve(cause: frozenset[str], *, untestable: frozenset[Subset] = frozenset()) -> tuple[Minimal, int]:
    known: dict[Subset, Tested] = {}
    while isinstance(step := next_step(CHANGES, known, close=free), Trial):
        assert step.moved not in known, "a set was tested twice"
        known[step.moved] = "unknown" if step.moved in untestable else "bad" if cause <= step.moved else "good"
        assert len(known) < 400
    return step, len(known)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=4))
def test_a_planted_cause_is_found_exactly(cause: set[str]) -> None:
    answer, tests = solve(frozenset(cause))
    assert set(answer.needed) == cause
    assert answer.proved
    k = len(cause)
    assert tests <= 2 * k * math.ceil(math.log2(25 / k) + 1) + 3 * k


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=4), st.sets(st.sampled_from(NAMES), max_size=6))
def test_moves_that_are_left_out_are_made_in_every_test_and_never_blamed(cause: set[str], innocent: set[str]) -> None:
    always = frozenset(innocent)
    known: dict[Subset, Tested] = {}
    while isinstance(step := next_step(CHANGES, known, close=free, always=always), Trial):
        assert always <= step.moved
        known[step.moved] = "bad" if cause <= step.moved else "good"
    assert set(step.needed) == cause - innocent
    assert step.moved == cause | innocent
    assert step.carried == ()


def test_every_pair_is_found_in_few_tests() -> None:
    counts = []
    for pair in combinations(NAMES[::3], 2):
        answer, tests = solve(frozenset(pair))
        assert set(answer.needed) == set(pair)
        counts.append(tests)
    assert max(counts) <= 22


@settings(max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=3), st.integers(0, 2**32), st.integers(2, 6))
def test_untestable_sets_never_make_a_wrong_claim(cause: set[str], seed: int, rate: int) -> None:
    def hidden(moved: Subset) -> bool:
        return hash((seed, tuple(sorted(moved)))) % rate == 0

    known: dict[Subset, Tested] = {}
    while isinstance(step := next_step(CHANGES, known, close=free), Trial):
        known[step.moved] = "unknown" if hidden(step.moved) else "bad" if cause <= step.moved else "good"
        assert len(known) < 2000
    assert cause <= step.moved, "the set does not break it"
    if step.proved:
        assert set(step.needed) == cause


@settings(max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=3), st.integers(1, 5))
def test_a_plan_begins_with_the_next_set_and_holds_what_comes_after_it(cause: set[str], count: int) -> None:
    known: dict[Subset, Tested] = {}

    def ask(seen: Mapping[Subset, Tested]) -> Trial | Minimal:
        return next_step(CHANGES, seen, close=free)

    while isinstance(wanted := plan(known, count, ask), tuple):
        step = ask(known)
        assert isinstance(step, Trial)
        assert wanted[0] == step.moved
        assert len(set(wanted)) == len(wanted) <= count
        known[step.moved] = "bad" if cause <= step.moved else "good"
        following = ask(known)
        if count >= 3 and isinstance(following, Trial):
            assert following.moved in wanted, "neither outcome was foreseen"
    assert set(wanted.needed) == cause


def test_moves_that_force_each_other_go_together() -> None:
    changes = [
        PackageChange(package="app", good="1.0", bad="2.0"),
        PackageChange(package="core", good="1.0", bad="2.0"),
        PackageChange(package="extra", good=None, bad="1.0"),
        PackageChange(package="lone", good="1.0", bad="2.0"),
    ]
    declared = {
        ("app", "1.0"): ["core<2"],
        ("app", "2.0"): ["core>=2", "extra; python_version >= '3'", "nothing>3"],
        ("core", "2.0"): ["lone; extra == 'all'"],
    }
    close = closure(changes, declared)
    assert close(frozenset({"app"})) == {"app", "core", "extra"}
    assert close(frozenset({"core"})) == {"app", "core", "extra"}, "the old app refuses the new core"
    assert close(frozenset({"lone"})) == {"lone"}
    assert close(frozenset()) == frozenset()

    known: dict[Subset, Tested] = {}
    tested = []
    while isinstance(step := next_step(changes, known, close=close), Trial):
        tested.append(step.moved)
        known[step.moved] = "bad" if "core" in step.moved else "good"
    assert step.moved == {"app", "core", "extra"}
    assert len(step.needed) == 1
    assert step.proved
    assert all(close(moved) == moved for moved in tested), "an environment was tested that its packages refuse"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20),
    st.sets(st.integers(0, 11), min_size=1, max_size=3),
    st.lists(st.integers(0, 11), max_size=3, unique=True),
)
def test_whatever_forces_what_no_smaller_set_breaks_it(
    edges: list[tuple[int, int]], cause: set[int], suspects: list[int]
) -> None:
    changes = [PackageChange(package=f"q{number:02}", good="1", bad="2") for number in range(12)]
    declared: dict[tuple[str, str], list[str]] = {}
    for one, other in edges:
        declared.setdefault((f"q{one:02}", "2"), []).append(f"q{other:02}>=2")
    close = closure(changes, declared)
    planted = frozenset(f"q{number:02}" for number in cause)
    known: dict[Subset, Tested] = {}
    while isinstance(
        step := next_step(changes, known, close=close, suspects=[f"q{number:02}" for number in suspects]), Trial
    ):
        assert close(step.moved) == step.moved
        assert step.moved not in known
        known[step.moved] = "bad" if planted <= step.moved else "good"
    assert step.moved == close(planted)
    assert close(frozenset(step.needed)) == step.moved
    assert step.proved
    assert set(step.needed) | set(step.carried) == step.moved
    for name in step.needed:
        smaller = without(step.moved, name, close)
        assert close(smaller) == smaller
        assert not planted <= smaller


def test_a_package_that_went_is_not_blamed_for_what_it_forces() -> None:
    """The shape of transformers 4 → 5: the new hub does without requests, whose own needs go with it."""
    changes = [
        PackageChange(package="charset-normalizer", good="3.4", bad=None),
        PackageChange(package="httpx", good=None, bad="0.28"),
        PackageChange(package="huggingface-hub", good="0.36", bad="1.23"),
        PackageChange(package="numpy", good="1.26", bad="2.4"),
        PackageChange(package="peft", good="0.12", bad="0.18"),
        PackageChange(package="requests", good="2.34", bad=None),
        PackageChange(package="tokenizers", good="0.19", bad="0.22"),
        PackageChange(package="transformers", good="4.42", bad="5.0"),
    ]
    declared = {
        ("transformers", "4.42"): ["huggingface-hub<1", "requests", "tokenizers<0.20", "numpy<2"],
        ("transformers", "5.0"): ["huggingface-hub>=1", "tokenizers>=0.22"],
        ("peft", "0.12"): ["transformers", "huggingface-hub>=0.17"],
        ("peft", "0.18"): ["transformers", "huggingface-hub>=0.25"],
        ("huggingface-hub", "0.36"): ["requests"],
        ("huggingface-hub", "1.23"): ["httpx"],
        ("requests", "2.34"): ["charset-normalizer<4"],
        ("tokenizers", "0.19"): ["huggingface-hub<1"],
        ("tokenizers", "0.22"): ["huggingface-hub<2"],
    }
    close = closure(changes, declared)
    known: dict[Subset, Tested] = {}

    def ask() -> Trial | Minimal:
        return next_step(changes, known, close=close, dependents=dependents(changes, declared))

    while isinstance(step := ask(), Trial):
        known[step.moved] = "bad" if "transformers" in step.moved else "good"
    assert step.needed == ("transformers",)
    assert step.carried == ("httpx", "huggingface-hub", "tokenizers")
    assert step.proved


def test_what_an_end_refuses_as_it_stands_forces_nothing() -> None:
    changes = [PackageChange(package=name, good="1", bad="2") for name in ("app", "core", "lone")]
    close = closure(changes, {("app", "1"): ["core>=9"], ("app", "2"): ["core>=9"]})
    assert close(frozenset({"lone"})) == {"lone"}
    assert close(frozenset({"app"})) == {"app"}


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=12), st.sets(st.integers(0, 7)))
def test_closure_is_a_closure(edges: list[tuple[int, int]], start: set[int]) -> None:
    changes = [PackageChange(package=f"q{number}", good="1", bad="2") for number in range(8)]
    declared: dict[tuple[str, str], list[str]] = {}
    for one, other in edges:
        declared.setdefault((f"q{one}", "2"), []).append(f"q{other}>=2")
    close = closure(changes, declared)
    subset = frozenset(f"q{number}" for number in start)
    closed = close(subset)
    assert subset <= closed
    assert close(closed) == closed
    if subset:
        for one, other in edges:
            assert f"q{one}" not in closed or f"q{other}" in closed


def test_a_search_goes_on_from_what_has_been_tested() -> None:
    cause = frozenset({"p03", "p17"})
    full: dict[Subset, Tested] = {}
    while isinstance(step := next_step(CHANGES, full, close=free), Trial):
        full[step.moved] = "bad" if cause <= step.moved else "good"
    half = dict(list(full.items())[: len(full) // 2])
    again = next_step(CHANGES, half, close=free)
    assert isinstance(again, Trial)
    assert again.moved == list(full)[len(half)]
