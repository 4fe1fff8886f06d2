"""Synthetic release histories with a known truth, and the loop that lets a search run on one."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import strategies as st

from envpin.bisect.search.search import Conclusion, Observation, Outcome, Problem, decide

Scenario = Literal[
    "no skips", "scattered skips", "one block of 30", "one block of 60", "two transitions", "flaky tests"
]
SCENARIOS: tuple[Scenario, ...] = (
    "no skips", "scattered skips", "one block of 30", "one block of 60", "two transitions", "flaky tests",
)  # fmt: skip


@dataclass
class History:
    """Point i is in the new state where `new[i]`; `skips` cannot be run; the two rates are how often a run shows
    "after" in the new and in the old state."""

    new: tuple[bool, ...]
    skips: frozenset[int] = frozenset()
    shows_new: float = 1.0
    shows_old: float = 0.0
    seed: int = 0
    runs: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def breaks(self) -> set[int]:
        """Every point that is new where the one before it is old."""
        return {index for index in range(1, len(self.new)) if self.new[index] and not self.new[index - 1]}

    def run(self, index: int) -> Outcome:
        self.runs += 1
        if index in self.skips:
            return "untestable"
        rate = self.shows_new if self.new[index] else self.shows_old
        return "after" if self._random.random() < rate else "before"


def make(scenario: Scenario, seed: int, size: int = 180) -> History:
    """History number `seed` of a scenario: `size` releases, the first old, the last new."""
    source = random.Random(f"{scenario}/{seed}")
    first = source.randrange(1, size)
    new = [index >= first for index in range(size)]
    skips: set[int] = set()
    if scenario == "scattered skips":
        skips = {index for index in range(1, size - 1) if source.random() < 0.2}
    elif scenario.startswith("one block"):
        width = int(scenario.rsplit(" ", 1)[1])
        start = source.randrange(1, size - width)
        skips = set(range(start, start + width))
    elif scenario == "two transitions":
        cuts = sorted(source.sample(range(1, size), 3))
        new = [(index >= cuts[0]) and not (cuts[1] <= index < cuts[2]) for index in range(size)]
    noisy = scenario == "flaky tests"
    return History(
        new=tuple(new),
        skips=frozenset(skips),
        shows_new=0.7 if noisy else 1.0,
        shows_old=0.05 if noisy else 0.0,
        seed=source.randrange(2**32),
    )


def search(problem: Problem, history: History, limit: int = 2000) -> tuple[Conclusion, list[Observation]]:
    """Run the search to its conclusion; more than `limit` runs are a failure to end."""
    seen: list[Observation] = []
    while len(seen) < limit:
        step = decide(problem, seen)
        if isinstance(step, Conclusion):
            return step, seen
        seen.append(Observation(index=step.index, outcome=history.run(step.index)))
    raise AssertionError(f"no conclusion after {limit} runs")


def plain(size: int, **settings: float) -> Problem:
    """A problem about which nothing is known beforehand."""
    return Problem(prior=(1.0,) * size, cost=(1.0,) * size, **settings)  # type: ignore[arg-type]


def wrong(conclusion: Conclusion, history: History) -> bool:
    """Whether a conclusion claims that the change lies where it does not."""
    if conclusion.kind not in {"named", "range"}:
        return False
    return not any(conclusion.low < point <= conclusion.high for point in history.breaks())


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
