"""A known-good tuple from runs: the versions that were really tried, where those that are declared were not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.versions import release_of
from envpin.matrix.results import reached
from envpin.matrix.types import KnownGood

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.support import Support
    from envpin.matrix.types import Family

_PINNED = ("transformers", "peft", "torch")


def proved_tuple(family: Family, runs: Iterable[EvidenceRun], support: Support) -> KnownGood | None:
    """The transformers and peft of one of the family's tuples, beside the torch that they were run with to a verified
    merge; None where nobody did. The tuple that comes first in the family decides."""
    by_environment: dict[tuple[tuple[str, ...], str], list[EvidenceRun]] = {}
    for run in runs:
        versions = tuple(release_of(run.packages.get(name, "")) for name in _PINNED)
        if all(versions) and not run.trained_with:
            by_environment.setdefault((versions, run.python), []).append(run)
    for good in family.known_good:
        for (versions, python), own in sorted(by_environment.items(), reverse=True):
            wanted = (good.packages.get("transformers"), good.packages.get("peft"), good.python)
            if (*versions[:2], python) != wanted or reached(own) != "merge-verified":
                continue
            packages = dict(zip(_PINNED, versions, strict=True))
            day = support.day_after(packages)
            if day is not None:
                return KnownGood(
                    python=python,
                    packages=packages,
                    exclude_newer=max(day, good.exclude_newer),
                    source=f"run by envpin matrix verify on {max(one.date for one in own)}",
                    grade="merge-verified",
                    evidence=tuple(sorted(one.id for one in own if one.outcome == "ok")),
                )
    return None
