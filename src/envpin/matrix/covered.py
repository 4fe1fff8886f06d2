"""In which releases that matter was each family merged, and in which was it not? Pure.

What matters is the first and the last release of each minor version: there things change, and those people have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envpin.matrix.recipes import family_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.support import Support
    from envpin.matrix.types import Family

# Before it, few of the models that people fine-tune today were known.
SINCE = "4.40"


class Covered(NamedTuple):
    """A family's releases that matter: those in which its tiny model was merged, or seen to fail, and the others."""

    family: str
    run: tuple[str, ...]
    missing: tuple[str, ...]


def edges(support: Support) -> tuple[str, ...]:
    """The first and the last release of each minor version of transformers that was not yanked, in order."""
    by_minor: dict[tuple[int, int], list[str]] = {}
    for release in support.transformers:
        version = Version(release.version)
        if not release.yanked and version >= Version(SINCE):
            by_minor.setdefault((version.major, version.minor), []).append(release.version)
    return tuple(dict.fromkeys(one for found in by_minor.values() for one in (found[0], found[-1])))


def covered(families: Mapping[str, Family], runs: Iterable[EvidenceRun], support: Support) -> tuple[Covered, ...]:
    """Of each family that was run at all. A release that does not know the family's type does not matter to it."""
    seen: dict[str, set[str]] = {}
    for run in runs:
        if run.capability in {"load", "merge"} and run.outcome in {"ok", "fail"}:
            ended = run.capability == "merge" or run.outcome == "fail"
            seen.setdefault(family_of(run.family), set()).update([run.packages["transformers"]] if ended else [])
    wanted = edges(support)
    found = []
    for name, family in families.items():
        if name in seen:
            able = [one for one in wanted if _knows(family, one, support)]
            found.append(Covered(name, tuple(one for one in able if one in seen[name]),
                                 tuple(one for one in able if one not in seen[name])))  # fmt: skip
    return tuple(found)


def _knows(family: Family, version: str, support: Support) -> bool:
    requirement = family.requires.get("transformers")
    allowed = requirement is None or SpecifierSet(requirement.versions).contains(version)
    types = family.match.model_type
    return allowed and (not types or any(support.knows(version, one) for one in types))
