"""Signals to an answer per package: version sets intersected, contradictions named. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from envpin.inference.versions import Known

# hard: the file could not be as it is with another release. strong: a program wrote it, but it may be a copy or the
# work of another program than the trainer. weak: it only makes some releases likelier, and never excludes one.
Strength = Literal["hard", "strong", "weak"]
# Signals named against an answer; more of them are counted.
_SHOWN = 3
# One hard signal outweighs any number of strong ones (a folder has some dozen); weak ones only order what is left.
_WEIGHTS: Mapping[Strength, int] = {"hard": 1000, "strong": 1, "weak": 0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """One trace: in which file, what it says in words, and the releases of `package` that it lets in.

    `stated` is set where the file names a version outright, and `version` is what stands there. Empty `admits` are
    those of a statement that fits no known release: it is shown, and decides nothing.
    """

    package: str
    strength: Strength
    file: str
    says: str
    admits: frozenset[str]
    stated: bool = False
    version: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """What all signals about a package leave. `versions` is in order; everything known where nothing excludes.

    `against` are the signals that the answer contradicts: not empty exactly where the files disagree with each other.
    """

    package: str
    versions: tuple[str, ...]
    signals: tuple[Signal, ...]
    against: tuple[Signal, ...]
    known: bool

    @property
    def stated(self) -> bool:
        """Whether a file names the version outright, and the answer is that."""
        return any(
            one.stated and one.strength != "weak" and one not in self.against and one.admits for one in self.signals
        )

    @property
    def hinted(self) -> frozenset[str]:
        """Versions within the answer that a weak signal names outright: a list of packages next to the adapter."""
        named = (one.admits for one in self.signals if one.stated and one.strength == "weak")
        return frozenset[str]().union(*named).intersection(self.versions)

    def bounded(self, signal: Signal) -> Range | None:
        """The same within one more signal; None where that would leave nothing."""
        left = tuple(version for version in self.versions if version in signal.admits)
        return replace(self, versions=left, signals=(*self.signals, signal), known=True) if left else None


def combine(signals: Iterable[Signal], releases: Known) -> Range:
    """The releases that most signals let in, a hard one counting for more than all strong ones together.

    Where the files agree that is the intersection. The order of the signals does not matter, and one that lets in the
    whole answer never changes it.
    """
    own = tuple(one for one in signals if one.package == releases.package)
    judging = [one for one in own if one.admits and _WEIGHTS[one.strength]]
    scores = {
        version: sum(_WEIGHTS[one.strength] for one in judging if version in one.admits)
        for version in releases.versions
    }
    best = max(scores.values(), default=0)
    versions = tuple(version for version in releases.versions if scores[version] == best)
    against = tuple(one for one in own if not one.admits or (one in judging and not one.admits.issuperset(versions)))
    return Range(
        package=releases.package,
        versions=versions,
        signals=own,
        against=against,
        known=len(versions) < len(releases.versions),
    )


def listed(names: Iterable[str]) -> str:
    """Names as a signal says them: the first few, and how many more."""
    shown = [f"`{name[:40]}`" for name in names]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def likelihood(version: str, signals: Sequence[Signal]) -> int:
    """How many weak signals speak for a release; one that names it outright counts twice."""
    return sum((1 + one.stated) * (version in one.admits) for one in signals if one.strength == "weak")
