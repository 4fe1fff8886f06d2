"""What runs so far say about where the change is: a posterior over breakpoints, pure arithmetic.

A *breakpoint* k says that points 0 … k-1 are in the old state and k … size-1 in the new one. A test is either
deterministic, or noisy with two rates: how often it shows "after" in the new state and how often in the old one. The
rates are unknown, so a small grid of them stands for all noisy tests; what matters is that no rate between 0.3 and 1
can hide behind a few lucky runs.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# (rate of "after" in the new state, rate of "after" in the old state)
NOISE: tuple[tuple[float, float], ...] = tuple(
    (new, old)
    for new in (0.3, 0.5, 0.7, 0.85, 0.95, 0.999)
    for old in (0.001, 0.02, 0.05, 0.15, 0.3)
    if new - old > 0.2
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How often one point showed the old and the new state."""

    before: int = 0
    after: int = 0

    @property
    def flaky(self) -> bool:
        return self.before > 0 and self.after > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Belief:
    """`weight[k]` is the probability of breakpoint k (weight[0] is 0).

    `shows_after_new[k]` is the joint weight of k and of seeing "after" at a point at or above k; `shows_after_old[k]`
    that of k and of seeing it at a point below k.
    """

    weight: tuple[float, ...]
    shows_after_new: tuple[float, ...]
    shows_after_old: tuple[float, ...]

    def inside(self, low: int, high: int) -> float:
        """The probability that the breakpoint is one of low+1 … high."""
        return math.fsum(self.weight[low + 1 : high + 1])


def believe(prior: Sequence[float], tallies: Mapping[int, Tally], *, noisy_share: float) -> Belief:
    """The posterior of a mixture: `noisy_share` of all tests are noisy, the others are deterministic.

    `prior` has one entry per point; entry 0 is ignored, because point 0 is known to be old. Breakpoints between the
    same two tested points are equally likely but for their prior, so the likelihood is computed once per such stretch.
    """
    size = len(prior)
    tested = sorted(index for index in tallies if tallies[index].before or tallies[index].after)
    seen = [tallies[index] for index in tested]
    models = [(1.0, 0.0, _exact(seen), 1.0 - noisy_share)]
    models += [(new, old, _noisy(seen, new, old), noisy_share / len(NOISE)) for new, old in NOISE]
    logs = [[math.log(share) + value for value in row] for _, _, row, share in models if share > 0]
    rates = [(new, old) for new, old, _, share in models if share > 0]
    # Only the stretches that hold a breakpoint count when the largest likelihood is taken out.
    stretches = [bisect_left(tested, k) for k in range(1, size)]
    top = max(row[stretch] for row in logs for stretch in {*stretches})
    if top == -math.inf:
        return Belief(weight=(0.0,) * size, shows_after_new=(0.0,) * size, shows_after_old=(0.0,) * size)
    masses = [[math.exp(value - top) for value in row] for row in logs]
    plain = [math.fsum(column) for column in zip(*masses, strict=True)]
    new_side = [math.fsum(m * r[0] for m, r in zip(c, rates, strict=True)) for c in zip(*masses, strict=True)]
    old_side = [math.fsum(m * r[1] for m, r in zip(c, rates, strict=True)) for c in zip(*masses, strict=True)]
    total = math.fsum(prior[k] * plain[stretch] for k, stretch in enumerate(stretches, 1))

    def spread(values: list[float]) -> tuple[float, ...]:
        return (0.0, *(prior[k] * values[stretch] / total for k, stretch in enumerate(stretches, 1)))

    return Belief(weight=spread(plain), shows_after_new=spread(new_side), shows_after_old=spread(old_side))


def _noisy(seen: Sequence[Tally], new: float, old: float) -> list[float]:
    """Log likelihoods under one pair of rates; entry j is for breakpoints with j tested points below them."""
    row = [math.fsum(_log_likelihood(tally, new) for tally in seen)]
    for tally in seen:
        row.append(row[-1] + _log_likelihood(tally, old) - _log_likelihood(tally, new))
    return row


def _exact(seen: Sequence[Tally]) -> list[float]:
    """The same for a deterministic test: a breakpoint is possible (0) or it is not."""
    low = max((position + 1 for position, tally in enumerate(seen) if tally.before), default=0)
    high = min((position for position, tally in enumerate(seen) if tally.after), default=len(seen))
    return [0.0 if low <= below <= high else -math.inf for below in range(len(seen) + 1)]


def _log_likelihood(tally: Tally, rate: float) -> float:
    return tally.after * math.log(rate) + tally.before * math.log1p(-rate)


def information(belief: Belief) -> list[float]:
    """For each point, the bits that one more run there is expected to tell about the breakpoint."""
    size = len(belief.weight)
    new, old, weight = belief.shows_after_new, belief.shows_after_old, belief.weight
    # Sums over k ≤ i use the new-state weights, sums over k > i the old-state ones; prefix sums make each point O(1).
    after = [(value, _xlogx(value)) for value in new], [(value, _xlogx(value)) for value in old]
    passes = (
        [(w - value, _xlogx(w - value)) for w, value in zip(weight, new, strict=True)],
        [(w - value, _xlogx(w - value)) for w, value in zip(weight, old, strict=True)],
    )
    entropy_now = -math.fsum(_xlogx(value) for value in weight)
    bits = []
    sums = [_Split(after), _Split(passes)]
    for index in range(size):
        expected = 0.0
        for split in sums:
            mass, plogp = split.at(index)
            # mass · entropy of the normalised distribution
            expected += _xlogx(mass) - plogp
        bits.append(max(0.0, entropy_now - expected))
    return bits


class _Split:
    """Prefix sums of (mass, mass·log mass) of the new-state weights, suffix sums of the old-state ones."""

    def __init__(self, sides: tuple[list[tuple[float, float]], list[tuple[float, float]]]) -> None:
        self._head = [(0.0, 0.0)]
        for mass, plogp in sides[0]:
            self._head.append((self._head[-1][0] + mass, self._head[-1][1] + plogp))
        self._tail = [(0.0, 0.0)]
        for mass, plogp in reversed(sides[1]):
            self._tail.append((self._tail[-1][0] + mass, self._tail[-1][1] + plogp))
        self._tail.reverse()

    def at(self, index: int) -> tuple[float, float]:
        head, tail = self._head[index + 1], self._tail[index + 1]
        return head[0] + tail[0], head[1] + tail[1]


def _xlogx(value: float) -> float:
    return value * math.log2(value) if value > 1e-300 else 0.0
