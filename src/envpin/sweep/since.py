"""Which releases of transformers has the matrix not been run with yet? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.support import Support
    from envpin.matrix.types import Family


def newest_covered(families: Sequence[Family], runs: Iterable[EvidenceRun], support: Support) -> str | None:
    """The newest release in which at least half of the families were merged that it is said to know."""
    merged: dict[str, set[str]] = {}
    for run in runs:
        if run.capability == "merge":
            merged.setdefault(run.packages.get("transformers", ""), set()).add(run.family)
    for release in reversed(support.transformers):
        able = {one.id for one in families if _allows(one, release.version)}
        done = merged.get(release.version, set()) & able
        if done and 2 * len(done) >= len(able):
            return release.version
    return None


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
