"""Which side of a change is a release on, when its probe gives a number with noise? Pure.

Both ends are measured first, the good one against itself: their spread is the noise, and halfway between them is the
limit. A release is then sampled until its runs are far likelier on one side than on the other (Wald's sequential test),
and no longer: most are clear after two. What is not clear after `MOST` is untestable, never a guess.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

Side = Literal["good", "bad"]
# Wald's bound on the ratio of likelihoods of the two ends: one wrong side in 300,000 by chance, for each release.
CLEAR = math.log(300_000)
# Runs of each end before anything else; of a release at most.
END_RUNS, MOST = 6, 24
# The normal quantile of one in 300,000.
_QUANTILE = 4.5
# A spread estimated from twelve runs may be half of what it is; nothing is believed to be less noisy than this.
_CAUTION = 1.5


class Separation(msgspec.Struct, frozen=True, kw_only=True):
    """What the ends look like: their means, the noise of one run (a standard deviation), and the limit between them."""

    good: float
    bad: float
    noise: float
    limit: float

    @property
    def gap(self) -> float:
        """How far the nearer end is from the limit."""
        return min(abs(self.good - self.limit), abs(self.bad - self.limit))

    @property
    def fixed(self) -> int:
        """Runs that plain repetition needs of each release for the same certainty, by the sign of their mean alone."""
        return 1 if self.noise == 0.0 else max(2, math.ceil((_QUANTILE * self.noise / self.gap) ** 2))

    @property
    def expected(self) -> float:
        """Runs that a release at one of the ends takes on average."""
        return 1.0 if self.noise == 0.0 else max(2.0, CLEAR * self.noise**2 / (2 * self.gap**2))


def separate(good: Sequence[float], bad: Sequence[float], *, threshold: float | None = None) -> Separation | None:
    """The limit between the ends: `threshold`, else halfway. None where their noise hides what lies between them."""
    first, second = statistics.fmean(good), statistics.fmean(bad)
    spreads = [statistics.variance(side) for side in (good, bad) if len(side) > 1]
    noise = _CAUTION * math.sqrt(max(spreads, default=0.0))
    limit = (first + second) / 2 if threshold is None else threshold
    if first == second or (first < limit) == (second < limit) or limit in {first, second}:
        return None
    found = Separation(good=first, bad=second, noise=noise, limit=limit)
    return found if found.expected <= MOST / 3 else None


def side_of(values: Sequence[float], found: Separation) -> Side | None:
    """The side that these runs of one release show; None where more are needed."""
    mean = statistics.fmean(values)
    if mean == found.limit or not math.isfinite(mean):
        return None
    own = statistics.stdev(values) if len(values) > 2 else 0.0
    noise = max(found.noise, own)
    if noise > 0.0:
        ratio = abs(mean - found.limit) * len(values) * 2 * found.gap / noise**2
        if len(values) < 2 or ratio < CLEAR:
            return None
    return "good" if (mean < found.limit) == (found.good < found.limit) else "bad"
