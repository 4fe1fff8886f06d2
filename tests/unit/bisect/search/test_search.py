"""Properties of the search over arbitrary histories, and the promise of never naming a wrong release for certain."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envpin.bisect.search.belief import Tally, believe
from envpin.bisect.search.search import Conclusion, Observation, Problem, Run, decide, plan, repeatable
from tests.support.histories import History, monotone, plain, problems, search, wrong

QUICK = settings(max_examples=40, deadline=None)  # many more of them: tests/property/test_searches.py


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


@pytest.mark.parametrize(("failures", "again"), [(0, True), (2, True), (3, False), (4, False)])
def test_a_point_that_ran_once_is_left_alone_after_three_failures_to_run_again(failures: int, *, again: bool) -> None:
    ran: list[Observation] = [
        Observation(index=0, outcome="before"), Observation(index=3, outcome="after"),
        Observation(index=1, outcome="before"), Observation(index=2, outcome="after"),
    ]  # fmt: skip
    log = ran + [Observation(index=1, outcome="untestable")] * failures
    step = decide(plain(4), log)
    assert isinstance(step, Run)
    assert (step.index, step.purpose) == (1 if again else 2, "edge")


@pytest.mark.parametrize(("noisy_share", "runs"), [(0.001, 3), (0.2, 6)])
def test_an_end_in_the_wrong_state_is_believed_after_two_or_five_runs(noisy_share: float, runs: int) -> None:
    """`repeats` is 2 for a test that is known to be repeatable, 5 for any other; the other end runs once."""
    _, seen = search(plain(8, noisy_share=noisy_share), History(new=(True,) * 8))
    assert len(seen) == runs


@pytest.mark.parametrize(("samples", "beyond"), [(0, set()), (1, {"older", "newer"}), (3, {"older", "newer"})])
def test_samples_are_taken_on_both_sides_of_the_edge(samples: int, beyond: set[str]) -> None:
    history = History(new=tuple(index >= 20 for index in range(40)))
    problem = plain(40, samples=samples, noisy_share=0.001)
    seen: list[Observation] = []
    sampled: list[int] = []
    while not isinstance(step := decide(problem, seen), Conclusion):
        if step.purpose == "sample":
            sampled.append(step.index)
        seen.append(Observation(index=step.index, outcome=history.run(step.index)))
    assert {"older" if index < 19 else "newer" for index in sampled} <= beyond
    tested = {one.index for one in seen}
    assert len({index for index in tested if 0 < index < 19}) >= samples
    assert len({index for index in tested if 20 < index < 39}) >= samples


def flaky(*, size: int = 12, seed: int = 3, **settings: float) -> tuple[Conclusion, list[Observation], History]:
    """A search whose test shows the new state in two of three runs, and never where it is not."""
    history = History(new=tuple(index >= 7 for index in range(size)), shows_new=0.66, seed=seed)
    conclusion, seen = search(plain(size, **settings), history)
    return conclusion, seen, history


@pytest.mark.parametrize("seed", range(6))
def test_a_noisy_test_is_named_with_its_probability_and_never_for_certain(seed: int) -> None:
    conclusion, seen, history = flaky(seed=seed)
    both = {one.index for one in seen if one.outcome == "before"} & {
        one.index for one in seen if one.outcome == "after"
    }
    assert conclusion.noisy == bool(both)
    if conclusion.noisy:
        assert not conclusion.certain
        assert conclusion.kind == "named"
        assert conclusion.high == conclusion.low + 1
        assert 0.95 <= conclusion.probability < 1
        assert not wrong(conclusion, history)


def test_a_noise_budget_that_is_spent_leaves_the_shortest_stretch_that_is_likely_enough() -> None:
    log = [Observation(index=at, outcome=what) for at, what in ((0, "before"), (11, "after"), (11, "before"))]  # type: ignore[arg-type]
    conclusion = decide(plain(12, noise_budget=3), log)
    assert isinstance(conclusion, Conclusion)
    assert (conclusion.kind, conclusion.noisy, conclusion.certain) == ("undecided", True, False)
    assert conclusion.probability >= 0.95
    run = decide(plain(12, noise_budget=4), log)
    assert isinstance(run, Run)
    assert run.purpose == "noise"
    assert 0 < run.chance < 1


def test_plan_begins_with_the_decision_and_holds_what_follows_each_outcome() -> None:
    problem = plain(30, noisy_share=0.001)
    log = [Observation(index=0, outcome="before"), Observation(index=29, outcome="after")]
    first = decide(problem, log)
    runs = plan(problem, log, 3)
    assert isinstance(first, Run)
    assert isinstance(runs, tuple)
    following = {
        step.index
        for outcome in ("before", "after")
        if isinstance(step := decide(problem, [*log, Observation(index=first.index, outcome=outcome)]), Run)
    }
    assert runs[0] == first
    assert {one.index for one in runs[1:]} == following
    assert plan(problem, log, 1) == (first,)
    wrong_end = [Observation(index=0, outcome="untestable")]
    assert plan(problem, wrong_end, 3) == decide(problem, wrong_end)


@pytest.mark.parametrize(("first", "likelier"), [(12, "after"), (17, "before")])
def test_plan_follows_the_likelier_outcome_first(first: int, likelier: str) -> None:
    prior = [0.01] * 30
    prior[first], prior[29 - first] = 1.0, 0.2
    problem = Problem(prior=tuple(prior), cost=tuple(1.0 if at in {14, 15} else 3.0 for at in range(30)))
    log = [Observation(index=0, outcome="before"), Observation(index=29, outcome="after")]
    run = decide(problem, log)
    assert isinstance(run, Run)
    assert (run.chance > 0.5) == (likelier == "after")
    following = decide(problem, [*log, Observation(index=run.index, outcome=likelier)])  # type: ignore[arg-type]
    runs = plan(problem, log, 2)
    assert isinstance(runs, tuple)
    assert [one.index for one in runs] == [run.index, following.index]  # type: ignore[union-attr]
    for count in range(1, 9):
        more = plan(problem, log, count)
        assert isinstance(more, tuple)
        assert len({one.index for one in more}) == len(more) <= count


def test_plan_leaves_out_what_is_hardly_going_to_happen() -> None:
    """A follow-up of less than one in fifty is not worth an environment."""
    prior = [1e-6] * 30
    prior[10] = 1.0
    log = [Observation(index=0, outcome="before"), Observation(index=29, outcome="after")]
    problem = Problem(prior=tuple(prior), cost=(1.0,) * 30, noisy_share=0.001)
    runs = plan(problem, log, 20)
    assert isinstance(runs, tuple)
    assert len(runs) < 8


@settings(max_examples=60, deadline=None)
@given(
    st.integers(4, 16).flatmap(
        lambda size: st.tuples(
            st.just(size),
            st.dictionaries(st.integers(1, size - 2), st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=4),
        )
    )
)
def test_a_spent_budget_gives_the_shortest_stretch_that_holds_the_wanted_probability(
    drawn: tuple[int, dict[int, tuple[int, int]]],
) -> None:
    size, counts = drawn
    tallies = {0: (3, 0), size - 1: (1, 2), **{at: both for at, both in counts.items() if sum(both)}}
    log = [
        Observation(index=at, outcome=outcome)  # type: ignore[arg-type]
        for at, (before, after) in tallies.items()
        for outcome, count in (("before", before), ("after", after))
        for _ in range(count)
    ]
    problem = plain(size, noise_budget=0)
    conclusion = decide(problem, log)
    assert isinstance(conclusion, Conclusion)
    belief = believe(problem.prior, {at: Tally(before=b, after=a) for at, (b, a) in tallies.items()}, noisy_share=1.0)
    if conclusion.kind == "named":
        assert belief.weight[conclusion.high] == max(belief.weight[1:]) >= problem.noise_confidence
        return
    enough = [
        (high - low, low, high)
        for low in range(size - 1)
        for high in range(low + 1, size)
        if math.fsum(belief.weight[low + 1 : high + 1]) >= problem.noise_confidence - 1e-12
    ]
    length = min(enough)[0] if enough else size - 1
    assert conclusion.high - conclusion.low == length
    assert conclusion.probability == pytest.approx(math.fsum(belief.weight[conclusion.low + 1 : conclusion.high + 1]))
    assert conclusion.kind == ("range" if length < size // 2 else "undecided")


def test_repeatable_is_a_problem_with_next_to_no_noise() -> None:
    problem = repeatable((1.0, 2.0), (3.0, 4.0), samples=2)
    assert (problem.prior, problem.cost, problem.samples) == ((1.0, 2.0), (3.0, 4.0), 2)
    assert (problem.noisy_share, problem.confidence, problem.repeats) == (0.002, 0.9995, 2)
