"""The search itself, without any I/O: what has been seen so far, in; the next run or the conclusion, out.

Points 0 … size-1 are releases in order. Point 0 shows the old state (*before*), the last point the new one (*after*);
both are checked first. `decide` is a function of the problem and the observations alone, so a log of observations is
all the state there is, and a search resumes by being asked again.

Untestable points are masked from what may be *run*, never from where the change may *be*: where they hide it, the
conclusion is a range, not a name. See docs/explanation/bisect-search.md.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from envpin.bisect.search.belief import Belief, Tally, believe, information
from envpin.bisect.search.selection import best_inside, sample_outside

if TYPE_CHECKING:
    from collections.abc import Sequence

Outcome = Literal["before", "after", "untestable"]
Purpose = Literal["end", "narrow", "repeat", "edge", "sample", "noise"]
# A point that ran once and then could not be run again this often is left alone.
_TRIES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    index: int
    outcome: Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What is being searched. `prior[k]` is the relative probability that k is the first point in the new state
    (entry 0 is ignored), `cost[i]` what a run at i costs, in any one unit.

    `noisy_share` is the share of tests like this one that are noisy; `confidence` what "certain" must reach;
    `samples` how many points beyond each edge are tried for another transition; `patience` the probability of being
    testable below which a point hidden among untestable ones is not tried; `noise_budget` the most runs of a test that
    turned out to be noisy.
    """

    prior: tuple[float, ...]
    cost: tuple[float, ...]
    noisy_share: float = 0.2
    confidence: float = 0.99995
    samples: int = 1
    patience: float = 0.12
    noise_confidence: float = 0.95
    noise_budget: int = 80

    def __post_init__(self) -> None:
        if len(self.prior) != len(self.cost) or len(self.prior) < 2:
            raise ValueError("a search needs two points or more, and a prior and a cost for each")
        if any(value <= 0 for value in self.prior[1:]) or any(value <= 0 for value in self.cost):
            raise ValueError("a prior and a cost are positive: no breakpoint is impossible and no run is free")

    @property
    def size(self) -> int:
        return len(self.prior)

    @property
    def repeats(self) -> int:
        """How often an outcome that contradicts another must repeat itself before it is believed."""
        return 2 if self.noisy_share < 0.01 else 5


def repeatable(prior: tuple[float, ...], cost: tuple[float, ...], **settings: float) -> Problem:
    """The problem of a test that is known to answer the same every time, as far as one can know."""
    return Problem(prior=prior, cost=cost, noisy_share=0.002, confidence=0.9995, **settings)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Run the test at `index`. `chance` is the probability, as believed now, that it shows the new state."""

    index: int
    purpose: Purpose
    chance: float = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """The state changes somewhere in low+1 … high; `to` is the state at `high`."""

    low: int
    high: int
    to: Literal["before", "after"] = "after"


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclusion:
    """The end of a search.

    `named`: the change happens between `low` and `high = low + 1`. `range`: it happens in low+1 … high, and what lies
    between cannot be tested. `end-wrong`: the end at `low` shows the other end's state. `end-untestable`: that end
    cannot be tested. `undecided`: the test is so noisy that the budget ran out; low … high holds the change with
    `probability`. Only a conclusion with `certain` claims more than a probability.
    """

    kind: Literal["named", "range", "end-wrong", "end-untestable", "undecided"]
    low: int
    high: int
    probability: float = 0.0
    certain: bool = False
    noisy: bool = False
    others: tuple[Transition, ...] = ()


Decision: TypeAlias = Run | Conclusion


@dataclass(frozen=True, slots=True)
class _Seen:
    """Observations, sorted out. `untestable` points never ran; `worn` ones did, but cannot be run again."""

    tallies: dict[int, Tally] = field(default_factory=dict)
    untestable: frozenset[int] = frozenset()
    worn: frozenset[int] = frozenset()
    runs: int = 0

    def count(self, index: int) -> int:
        tally = self.tallies[index]
        return tally.before + tally.after

    def wants(self, index: int, count: int) -> bool:
        """Whether `index` should run again, to have run `count` times."""
        return self.count(index) < count and index not in self.worn

    def state(self, index: int) -> Literal["before", "after"] | None:
        tally = self.tallies.get(index)
        if tally is None:
            return None
        return "before" if tally.before else "after"


def decide(problem: Problem, observations: Sequence[Observation]) -> Decision:
    """The next run, or the conclusion. Deterministic."""
    seen = _sort_out(problem, observations)
    last = problem.size - 1
    for end in (0, last):
        if end in seen.untestable:
            return Conclusion(kind="end-untestable", low=end, high=end)
        if end not in seen.tallies:
            return Run(index=end, purpose="end", chance=float(end == last))
    if any(tally.flaky for tally in seen.tallies.values()):
        return _with_noise(problem, seen)
    for end, wrong in ((0, "after"), (last, "before")):
        if seen.state(end) == wrong:
            if seen.wants(end, problem.repeats):
                return Run(index=end, purpose="repeat", chance=float(wrong == "after"))
            return Conclusion(kind="end-wrong", low=end, high=end)
    return _without_noise(problem, seen)


def plan(problem: Problem, observations: Sequence[Observation], count: int) -> Conclusion | tuple[Run, ...]:
    """Up to `count` runs worth doing at once: the next one, then the next ones after its likely outcomes.

    The first is what `decide` says. The others serve `-j` and prefetching: each is what would come next if the runs
    before it went one way or the other, the more probable way first.
    """
    first = decide(problem, observations)
    if isinstance(first, Conclusion):
        return first
    runs = [first]
    frontier: list[tuple[float, tuple[Observation, ...], Run]] = [(1.0, tuple(observations), first)]
    while frontier and len(runs) < count:
        frontier.sort(key=lambda item: -item[0])
        probability, seen, run = frontier.pop(0)
        outcomes: tuple[tuple[Outcome, float], ...] = (("after", run.chance), ("before", 1.0 - run.chance))
        for outcome, chance in sorted(outcomes, key=lambda pair: -pair[1]):
            later = (*seen, Observation(index=run.index, outcome=outcome))
            following = decide(problem, later)
            if probability * chance < 0.02 or isinstance(following, Conclusion):
                continue
            frontier.append((probability * chance, later, following))
            if all(following.index != known.index for known in runs) and len(runs) < count:
                runs.append(following)
    return tuple(runs)


def _sort_out(problem: Problem, observations: Sequence[Observation]) -> _Seen:
    before: dict[int, int] = {}
    after: dict[int, int] = {}
    untestable: dict[int, int] = {}
    for seen in observations:
        if not 0 <= seen.index < problem.size:
            raise ValueError(f"there is no point {seen.index}")
        if seen.outcome == "untestable":
            untestable[seen.index] = untestable.get(seen.index, 0) + 1
        else:
            counts = before if seen.outcome == "before" else after
            counts[seen.index] = counts.get(seen.index, 0) + 1
    # A point that ran once can be run: a later "untestable" there says something about that day, not about the release.
    tallies = {
        index: Tally(before=before.get(index, 0), after=after.get(index, 0)) for index in sorted({*before, *after})
    }
    worn = frozenset(index for index in tallies if untestable.get(index, 0) >= _TRIES)
    return _Seen(tallies, frozenset(untestable.keys() - tallies.keys()), worn, len(observations))


def _without_noise(problem: Problem, seen: _Seen) -> Decision:
    """Every point that ran more than once agreed with itself."""
    tested = sorted(seen.tallies)
    changes = [(low, high) for low, high in itertools.pairwise(tested) if seen.state(low) != seen.state(high)]
    if len(changes) > 1:
        # Two transitions, or a noisy test that has not shown itself yet: the points on both sides of each change must
        # hold before the picture is believed.
        for index in sorted({index for pair in changes for index in pair}):
            if seen.wants(index, problem.repeats):
                return Run(index=index, purpose="repeat", chance=float(seen.state(index) == "after"))
    brackets = [pair for pair in changes if seen.state(pair[0]) == "before"]
    low, high = _main_bracket(seen, brackets)
    choice = best_inside(problem.prior, problem.cost, low, high, tested=seen.tallies.keys(), masked=seen.untestable,
                         patience=problem.patience)  # fmt: skip
    if choice is not None:
        return Run(index=choice[0], purpose="narrow", chance=choice[1])
    others = tuple(
        Transition(low=pair[0], high=pair[1], to="after" if seen.state(pair[1]) == "after" else "before")
        for pair in changes
        if pair != (low, high)
    )
    return _certify(problem, seen, low, high, others)


def _main_bracket(seen: _Seen, brackets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The bracket to name: the one that was narrowed most, measured by what may still lie in it."""

    def open_points(pair: tuple[int, int]) -> tuple[int, int]:
        untried = sum(1 for index in range(pair[0] + 1, pair[1]) if index not in seen.untestable)
        return untried, pair[0]

    return min(brackets, key=open_points)


def _certify(problem: Problem, seen: _Seen, low: int, high: int, others: tuple[Transition, ...]) -> Decision:
    """Re-run the edge, look for another transition on both sides, and go on until the claim is sure enough."""
    for index in (low, high):
        if seen.wants(index, 2):
            return Run(index=index, purpose="edge", chance=float(index == high))
    sample = sample_outside(problem.prior, problem.cost, low, high, tested=seen.tallies.keys(),
                            masked=seen.untestable, wanted=problem.samples)  # fmt: skip
    if sample is not None:
        return Run(index=sample, purpose="sample", chance=float(sample > high))
    window = _monotone_window(seen, low, high)
    doubt = _doubt(problem, window, low, high)
    confirmed = seen.count(low) > 1 < seen.count(high)
    if confirmed and doubt > 1 - problem.confidence:
        # The run that would leave the least doubt if the edge holds once more.
        held = {index: _doubt(problem, _once_more(window, index), low, high) for index in (low, high)}
        for again in sorted((low, high), key=lambda index: (held[index], index)):
            if seen.wants(again, 20):
                return Run(index=again, purpose="edge", chance=float(again == high))
    return Conclusion(
        kind="named" if high - low == 1 else "range",
        low=low,
        high=high,
        probability=1 - doubt,
        certain=confirmed and doubt <= 1 - problem.confidence,
        others=others,
    )


def _doubt(problem: Problem, window: dict[int, Tally], low: int, high: int) -> float:
    """The probability that the change lies outside the bracket.

    A guess may steer where to look, but it must not make a claim surer: the prior here is flat.
    """
    belief = believe([1.0] * problem.size, window, noisy_share=problem.noisy_share)
    return belief.inside(0, low) + belief.inside(high, problem.size - 1)


def _once_more(window: dict[int, Tally], index: int) -> dict[int, Tally]:
    tally = window[index]
    more = Tally(before=tally.before + (tally.before > 0), after=tally.after + (tally.after > 0))
    return {**window, index: more}


def _monotone_window(seen: _Seen, low: int, high: int) -> dict[int, Tally]:
    """The tallies around the bracket up to where another transition begins."""
    floor = max((index for index in seen.tallies if index < low and seen.state(index) == "after"), default=-1)
    ceiling = min((index for index in seen.tallies if index > high and seen.state(index) == "before"), default=10**9)
    return {index: tally for index, tally in seen.tallies.items() if floor < index < ceiling}


def _with_noise(problem: Problem, seen: _Seen) -> Decision:
    """Some point showed both states: only probabilities are left, and nothing will be called certain."""
    belief = believe(problem.prior, seen.tallies, noisy_share=1.0)
    best = max(range(1, problem.size), key=lambda k: belief.weight[k])
    if belief.weight[best] >= problem.noise_confidence:
        return Conclusion(kind="named", low=best - 1, high=best, probability=belief.weight[best], noisy=True)
    bits = information(belief)
    usable = [index for index in range(problem.size) if index not in seen.untestable | seen.worn]
    index = max(usable, key=lambda i: (bits[i] / problem.cost[i], -i), default=0)
    if not usable or seen.runs >= problem.noise_budget or bits[index] < 1e-3:
        return _credible(problem, belief)
    new = sum(belief.shows_after_new[1 : index + 1])
    old = sum(belief.shows_after_old[index + 1 :])
    return Run(index=index, purpose="noise", chance=new + old)


def _credible(problem: Problem, belief: Belief) -> Conclusion:
    """The shortest run of neighbouring breakpoints that holds the change with the wanted probability."""
    best = (0, problem.size - 1)
    low = 0
    mass = 0.0
    for high in range(1, problem.size):
        mass += belief.weight[high]
        while mass - belief.weight[low + 1] >= problem.noise_confidence and low + 1 < high:
            low += 1
            mass -= belief.weight[low]
        if mass >= problem.noise_confidence and high - low < best[1] - best[0]:
            best = (low, high)
    probability = belief.inside(*best)
    kind: Literal["range", "undecided"] = "range" if best[1] - best[0] < problem.size // 2 else "undecided"
    return Conclusion(kind=kind, low=best[0], high=best[1], probability=probability, noisy=True)
