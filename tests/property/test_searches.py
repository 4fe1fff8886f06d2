"""Simulated searches: hundreds of histories of releases, noisy, patchy and worn, none of them misnamed for certain."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envpin.bisect.search.search import Conclusion, Observation, Problem, decide, plan
from tests.support.histories import SCENARIOS, History, Scenario, make, monotone, plain, problems, search, wrong

HISTORIES = 200 if os.environ.get("ENVPIN_TEST_ALL") else 60
QUICK = settings(max_examples=80, deadline=None)


@QUICK
@given(st.data())
def test_patience_zero_leaves_nothing_untried_in_a_range(data: st.DataObject) -> None:
    history = data.draw(monotone())
    size = len(history.new)
    conclusion, _ = search(Problem(prior=(1.0,) * size, cost=(1.0,) * size, patience=0.0), history)
    assert set(range(conclusion.low + 1, conclusion.high)) <= history.skips


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
def test_histories_without_a_wrong_certain_culprit(scenario: Scenario) -> None:
    for seed in range(HISTORIES):
        history = make(scenario, seed)
        conclusion, seen = search(plain(180), history)
        assert not (conclusion.certain and wrong(conclusion, history)), (seed, conclusion)
        if scenario != "flaky tests":
            assert conclusion.certain
            assert conclusion.kind in {"named", "range"}
            assert len(seen) <= 65


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
