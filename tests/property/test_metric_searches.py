"""Searches by a noisy number on simulated histories: never a wrong culprit that is called certain, and few runs."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

from envpin.bisect.search.metric import END_RUNS, MOST, Separation, separate, side_of
from envpin.bisect.search.search import Conclusion, Observation, Outcome, Problem, decide, repeatable

HISTORIES = 500 if os.environ.get("ENVPIN_TEST_ALL") else 60


@dataclass
class NoisyHistory:
    """Releases whose probe gives a number: `before` the change at `first`, `after` from there, with noise of a kind."""

    seed: int
    size: int = 60
    runs: int = 0
    first: int = field(init=False)
    found: Separation | None = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.first = self.random.randrange(1, self.size)
        self.noise = self.random.choice([0.0, 0.01, 0.05, 0.2])
        self.effect = self.random.choice([-1, 1]) * self.random.uniform(0.3, 1.0)
        self.heavy = self.random.random() < 0.3
        good = [self.value(0) for _ in range(END_RUNS)]
        bad = [self.value(self.size - 1) for _ in range(END_RUNS)]
        self.found = separate(good, bad)

    def value(self, index: int) -> float:
        self.runs += 1
        noise = self.random.gauss(0, self.noise)
        if self.heavy and self.random.random() < 0.05:
            noise *= 4
        return 5.0 + (self.effect if index >= self.first else 0.0) + noise

    def outcome(self, index: int) -> Outcome:
        assert self.found is not None
        values: list[float] = []
        while len(values) < MOST:
            values.append(self.value(index))
            side = side_of(values, self.found)
            if side is not None:
                return "before" if side == "good" else "after"
        return "untestable"


def conclusion_of(history: NoisyHistory) -> Conclusion:
    problem: Problem = repeatable((1.0,) * history.size, (1.0,) * history.size)
    seen: list[Observation] = []
    for _ in range(500):
        step = decide(problem, seen)
        if isinstance(step, Conclusion):
            return step
        seen.append(Observation(index=step.index, outcome=history.outcome(step.index)))
    raise AssertionError("no conclusion")


def test_noisy_histories_have_no_wrong_culprit() -> None:
    named = asked = wrong = runs = 0
    for seed in range(HISTORIES):
        history = NoisyHistory(seed)
        if history.found is None:  # the ends do not separate: said, and nothing is searched
            continue
        asked += 1
        found = conclusion_of(history)
        runs += history.runs
        named += found.kind == "named"
        wrong += found.kind in {"named", "range"} and not found.low < history.first <= found.high
    assert wrong == 0
    assert asked > 0.7 * HISTORIES
    assert named > 0.9 * asked
    assert runs / asked < 60  # both ends take twelve; repeating each of nine releases twelve times would take 120
