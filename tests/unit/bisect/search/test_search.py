"""Properties of the search over arbitrary histories, and the promise of never naming a wrong release for certain."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envpin.bisect.search.search import Conclusion, Observation, Problem, Run, decide, plan
from tests.support.histories import SCENARIOS, History, Scenario, make, plain, search, wrong

QUICK = settings(max_examples=80, deadline=None)


@st.composite
def monotone(draw: st.DrawFn) -> History:
    size = draw(st.integers(2, 60))
    first = draw(st.integers(1, size - 1))
    skips = draw(st.sets(st.integers(1, size - 2))) if size > 2 else set()
    return History(new=tuple(index >= first for index in range(size)), skips=frozenset(skips))


@st.composite
def problems(draw: st.DrawFn, size: int) -> Problem:
    positive = st.floats(0.01, 100)
    numbers = st.lists(positive, min_size=size, max_size=size)
    share = draw(st.sampled_from([0.001, 0.2]))
    return Problem(prior=tuple(draw(numbers)), cost=tuple(draw(numbers)), noisy_share=share)


@QUICK
@given(st.data())
def test_a_repeatable_test_is_never_misnamed(data: st.DataObject) -> None:
    history = data.draw(monotone())
    problem = data.draw(problems(len(history.new)))
    conclusion, seen = search(problem, history)
    (truth,) = history.breaks()
    assert conclusion.kind in {"named", "range"}
    assert conclusion.low < truth <= conclusion.high
    assert conclusion.certain
    assert not conclusion.others
    assert (conclusion.kind == "named") == (conclusion.high - conclusion.low == 1)
    assert not history.new[conclusion.low]
    assert history.new[conclusion.high]
    counts = {o.index for o in seen if o.outcome == "untestable"}
    assert all(sum(o.index == index for o in seen) == 1 for index in counts), "an untestable point was run again"


@QUICK
@given(st.data())
def test_patience_zero_leaves_nothing_untried_in_a_range(data: st.DataObject) -> None:
    history = data.draw(monotone())
    size = len(history.new)
    conclusion, _ = search(Problem(prior=(1.0,) * size, cost=(1.0,) * size, patience=0.0), history)
    assert set(range(conclusion.low + 1, conclusion.high)) <= history.skips


@QUICK
@given(st.integers(2, 400), st.data())
def test_no_more_probes_than_halving_needs(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, size - 1))
    history = History(new=tuple(index >= first for index in range(size)))
    problem = plain(size, noisy_share=0.001)
    seen: list[Observation] = []
    narrowing = 0
    while not isinstance(step := decide(problem, seen), Conclusion):
        narrowing += step.purpose == "narrow"
        seen.append(Observation(index=step.index, outcome=history.run(step.index)))
    assert narrowing <= math.ceil(math.log2(size - 1)) if size > 2 else narrowing == 0
    assert (step.low, step.high) == (first - 1, first)


@QUICK
@given(st.integers(6, 300), st.data())
def test_a_prior_that_is_right_leaves_two_probes_to_confirm(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, size - 1))
    prior = [0.1 / size] * size
    prior[first] = 0.9
    history = History(new=tuple(index >= first for index in range(size)))
    seen: list[Observation] = []
    problem = Problem(prior=tuple(prior), cost=(1.0,) * size, noisy_share=0.001)
    narrowing = []
    while not isinstance(step := decide(problem, seen), Conclusion):
        if step.purpose == "narrow":
            narrowing.append(step.index)
        seen.append(Observation(index=step.index, outcome=history.run(step.index)))
    assert sorted(narrowing) == [index for index in (first - 1, first) if 0 < index < size - 1]


@QUICK
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.data())
def test_any_repeatable_history_is_described_truly(middle: list[bool], data: st.DataObject) -> None:
    skips = data.draw(st.sets(st.integers(1, len(middle))))
    history = History(new=(False, *middle, True), skips=frozenset(skips))
    conclusion, _ = search(data.draw(problems(len(history.new))), history)
    assert not wrong(conclusion, history)
    for other in conclusion.others:
        assert history.new[other.high] == (other.to == "after") != history.new[other.low]


@QUICK
@given(st.data())
def test_a_log_cut_anywhere_leads_to_the_same_end(data: st.DataObject) -> None:
    history = data.draw(monotone())
    problem = data.draw(problems(len(history.new)))
    conclusion, seen = search(problem, history)
    cut = data.draw(st.integers(0, len(seen)))
    resumed = seen[:cut]
    while not isinstance(step := decide(problem, resumed), Conclusion):
        resumed.append(Observation(index=step.index, outcome=history.run(step.index)))
    assert step == conclusion
    assert resumed == seen


@QUICK
@given(st.data())
def test_plans_begin_with_the_decision_and_hold_distinct_points(data: st.DataObject) -> None:
    history = data.draw(monotone())
    problem = data.draw(problems(len(history.new)))
    _, seen = search(problem, history)
    before = seen[: data.draw(st.integers(0, len(seen)))]
    runs = plan(problem, before, 4)
    first = decide(problem, before)
    if isinstance(first, Conclusion):
        assert runs == first
    else:
        assert isinstance(runs, tuple)
        assert runs[0] == first
        assert len({run.index for run in runs}) == len(runs) <= 4


@QUICK
@given(st.integers(3, 50), st.integers(0, 2**32), st.floats(0.3, 1.0), st.floats(0.0, 0.3))
def test_a_point_that_showed_both_states_rules_out_certainty(size: int, seed: int, new: float, old: float) -> None:
    history = History(new=tuple(index >= size // 2 for index in range(size)), shows_new=new, shows_old=old, seed=seed)
    conclusion, seen = search(plain(size), history)
    both = {o.index for o in seen if o.outcome == "before"} & {o.index for o in seen if o.outcome == "after"}
    if both:
        assert not conclusion.certain
        assert conclusion.noisy
    assert len(seen) <= 200


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_hundred_histories_without_a_wrong_certain_culprit(scenario: Scenario) -> None:
    for seed in range(200):
        history = make(scenario, seed)
        conclusion, seen = search(plain(180), history)
        assert not (conclusion.certain and wrong(conclusion, history)), (seed, conclusion)
        if scenario != "flaky tests":
            assert conclusion.certain
            assert conclusion.kind in {"named", "range"}
            assert len(seen) <= 65


def test_an_end_in_the_wrong_state_is_said_not_searched() -> None:
    all_new = History(new=(True,) * 8)
    conclusion, seen = search(plain(8), all_new)
    assert (conclusion.kind, conclusion.low) == ("end-wrong", 0)
    assert len(seen) == 6, "both ends once, then the wrong one until it is believed"
    conclusion, _ = search(plain(8), History(new=(False,) * 8))
    assert (conclusion.kind, conclusion.low) == ("end-wrong", 7)


def test_an_untestable_end_is_said_at_once() -> None:
    conclusion, seen = search(plain(8), History(new=(False,) * 4 + (True,) * 4, skips=frozenset({7})))
    assert (conclusion.kind, conclusion.low) == ("end-untestable", 7)
    assert len(seen) == 2


@QUICK
@given(st.data())
def test_points_that_run_once_and_never_again_end_the_search_without_certainty(data: st.DataObject) -> None:
    history = data.draw(monotone())
    once = data.draw(st.sets(st.integers(0, len(history.new) - 1)))
    problem = data.draw(problems(len(history.new)))
    seen: list[Observation] = []
    while not isinstance(step := decide(problem, seen), Conclusion):
        ran = any(o.index == step.index and o.outcome != "untestable" for o in seen)
        worn = ran and step.index in once  # a machine that got slow, a file that is gone
        seen.append(Observation(index=step.index, outcome="untestable" if worn else history.run(step.index)))
        assert len(seen) < 6 * len(history.new) + 60, "it does not end"
    (truth,) = history.breaks()
    assert step.low < truth <= step.high
    assert step.certain == (not {step.low, step.high} & once)


def test_a_second_transition_is_reported_beside_the_culprit() -> None:
    new = [index >= 60 and not 100 <= index < 160 for index in range(180)]
    conclusion, _ = search(plain(180, samples=3), History(new=tuple(new)))
    assert conclusion.kind == "named"
    assert conclusion.others, "three samples a side fall into both other stretches"
    assert not wrong(conclusion, History(new=tuple(new)))


def test_a_run_says_why_it_is_wanted() -> None:
    problem = plain(4, noisy_share=0.001)
    assert decide(problem, []) == Run(index=0, purpose="end", chance=0.0)
    log = [Observation(index=0, outcome="before"), Observation(index=3, outcome="after")]
    step = decide(problem, log)
    assert isinstance(step, Run)
    assert step.purpose == "narrow"


@pytest.mark.parametrize(
    ("prior", "cost"), [((1.0,), (1.0,)), ((1.0, 1.0), (1.0,)), ((1.0, 0.0), (1.0, 1.0)), ((1.0, 1.0), (0.0, 1.0))]
)
def test_a_problem_that_makes_no_sense_is_refused(prior: tuple[float, ...], cost: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"a search needs|positive"):
        Problem(prior=prior, cost=cost)


def test_an_observation_of_no_point_is_refused() -> None:
    with pytest.raises(ValueError, match="no point 9"):
        decide(plain(4), [Observation(index=9, outcome="before")])
