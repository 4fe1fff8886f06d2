"""Which point to run next: information against cost, and how likely it is that a point can be tested at all."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# A release that nothing is known about is testable with about this probability.
_SKIP_RATE = 0.04


def testable(index: int, *, tested: Collection[int], masked: Collection[int], size: int) -> float:
    """How likely it is that `index` can be tested.

    Untestable releases come in blocks (a dependency that no longer builds), so near neighbours speak louder than far
    ones; how far a neighbour's word carries grows with how many were found untestable.
    """
    if not masked:
        return 1.0 - _SKIP_RATE
    reach = max(2.0, min(size / 12, 1.5 * len(masked)))
    bad = math.fsum(math.exp(-abs(index - other) / reach) for other in masked)
    good = math.fsum(math.exp(-abs(index - other) / reach) for other in tested)
    return 1.0 - (_SKIP_RATE * 0.5 + bad) / (0.5 + bad + good)


def best_inside(
    prior: Sequence[float],
    cost: Sequence[float],
    low: int,
    high: int,
    *,
    tested: Collection[int],
    masked: Collection[int],
    patience: float,
) -> tuple[int, float] | None:
    """The point strictly between `low` and `high` with the most information for its cost, and its chance of showing
    the new state; None where nothing is left that is worth trying."""
    total = math.fsum(prior[low + 1 : high + 1])
    best: tuple[float, float, int, float] | None = None
    mass = 0.0
    for index in range(low + 1, high):
        mass += prior[index]
        if index in masked:
            continue
        can = testable(index, tested=tested, masked=masked, size=len(prior))
        if can < patience:
            continue
        chance = min(max(mass / total, 1e-9), 1 - 1e-9)
        bits = -(chance * math.log2(chance) + (1 - chance) * math.log2(1 - chance))
        # Ties go to the middle, which halves what is left even where the prior says nothing.
        score = (bits * can / cost[index], -abs(2 * index - low - high), index, chance)
        if best is None or score[:2] > best[:2]:
            best = score
    return None if best is None else (best[2], best[3])


def sample_outside(
    prior: Sequence[float],
    cost: Sequence[float],
    low: int,
    high: int,
    *,
    tested: Collection[int],
    masked: Collection[int],
    wanted: int,
) -> int | None:
    """A point beyond the edge that should be tried for another transition; None where each side has had its share.

    A side's share is `wanted` points besides its end and its edge. Among the points of the widest untried gap, weighted
    by the prior, the cheap ones near its middle come first.
    """
    for first, last in ((0, low), (high, len(prior) - 1)):
        inside = [index for index in tested if first < index < last]
        if len(inside) >= wanted:
            continue
        free = {
            index
            for index in range(first + 1, last)
            if index not in masked
            and index not in inside
            and testable(index, tested=tested, masked=masked, size=len(prior)) > 0.5
        }
        choice = _in_widest_gap(prior, cost, [first, *sorted(inside), last], free)
        if choice is not None:
            return choice
    return None


def _in_widest_gap(
    prior: Sequence[float], cost: Sequence[float], marks: Sequence[int], free: Collection[int]
) -> int | None:
    gaps = sorted(itertools.pairwise(marks), key=lambda gap: -math.fsum(prior[gap[0] + 1 : gap[1]]))
    for first, last in gaps:
        here = [index for index in range(first + 1, last) if index in free]
        if here:
            middle = (first + last) / 2
            width = last - first
            return min(here, key=lambda index: (cost[index] * (1 + 4 * abs(index - middle) / width), index))
    return None
