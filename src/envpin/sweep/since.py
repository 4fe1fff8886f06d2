"""Which releases of transformers has the matrix not been run with yet? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpin.sweep.plan import CROSS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.support import Support
    from envpin.matrix.types import Family


def newest_covered(families: Sequence[Family], runs: Iterable[EvidenceRun], support: Support) -> str | None:
    """The newest release that is done with: at least half of the families that it is said to know were merged in it,
    and the adapter of each that was merged in the covered release before it, too, was taken back from it."""
    merged: dict[str, set[str]] = {}
    back: dict[str, set[str]] = {}
    for run in runs:
        version = run.packages.get("transformers", "")
        if run.capability == "merge" and run.outcome == "ok":
            merged.setdefault(version, set()).add(run.family)
        elif run.capability == CROSS and _is_older(version, run.trained_with.get("transformers", ""), support):
            back.setdefault(run.trained_with["transformers"], set()).add(run.family)
    covered = [one.version for one in reversed(support.transformers) if _most(families, merged, one.version)]
    if len(covered) > 1:
        newest, before = covered[:2]
        both = merged[newest] & merged[before] & {one.id for one in families}
        return before if both - back.get(newest, set()) else newest
    return covered[0] if covered else None


def _most(families: Sequence[Family], merged: Mapping[str, set[str]], version: str) -> bool:
    able = {one.id for one in families if _allows(one, version)}
    done = merged.get(version, set()) & able
    return bool(done) and 2 * len(done) >= len(able)


def _is_older(version: str, other: str, support: Support) -> bool:
    places = support.positions.get(version), support.positions.get(other)
    return places[0] is not None and places[1] is not None and places[0] < places[1]


def releases_since(last: str | None, support: Support) -> tuple[str, ...]:
    """Every release after `last` that was not yanked; the newest alone where nothing was covered yet."""
    installable = [one.version for one in support.transformers if not one.yanked]
    if last is None:
        return tuple(installable[-1:])
    place = support.positions[last]
    return tuple(one for one in installable if support.positions[one] > place)


def _allows(family: Family, version: str) -> bool:
    requirement = family.requires.get("transformers")
    return requirement is None or SpecifierSet(requirement.versions).contains(version)
