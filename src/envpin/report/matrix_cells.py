"""What is known of each family beside each release of transformers, boiled down to one state per cell. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet

from envpin.matrix.results import PROVES, reached
from envpin.matrix.types import GRADES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.support import Support
    from envpin.matrix.types import Break, Family, Grade

_LOAD = GRADES.index("load")
_CAPABILITIES = [*PROVES]


class Cell(NamedTuple):
    """A family beside a release, or a series of them.

    `grade` is the best that runs proved, `static` where only the wheel was read and it knows the type, None where it
    does not. `fails` is the first capability that failed in some run. `broken` says that a known break applies.
    """

    grade: Grade | None
    fails: str | None = None
    broken: bool = False

    @property
    def state(self) -> str:
        """`none`, `fails` where it was run and does not load, else the grade."""
        if self.fails is not None and (self.grade is None or GRADES.index(self.grade) < _LOAD):
            return "fails"
        return self.grade or "none"

    @property
    def partly(self) -> bool:
        """Whether it loads, and something beyond that failed."""
        return self.fails is not None and self.state != "fails"


def series_of(version: str) -> str:
    """`4.43` of `4.43.1`."""
    return ".".join(version.split(".")[:2])


def all_series(support: Support) -> list[str]:
    """The series of every release, oldest first."""
    return list(dict.fromkeys(series_of(one.version) for one in support.transformers))


def releases_inside(entry: Break, support: Support) -> list[bool]:
    """For each release of transformers, in order, whether the break applies to it; a break of another package does
    not: which version of that is beside it is not a matter of the release."""
    if entry.package != "transformers":
        return [False] * len(support.transformers)
    versions = SpecifierSet(entry.versions)
    return [versions.contains(one.version, prereleases=True) for one in support.transformers]


def cells(
    family: Family, entries: Iterable[EvidenceRun], breaks: Mapping[str, Break], support: Support
) -> dict[str, Cell]:  # fmt: skip
    """One cell for each release, by version."""
    runs: dict[str, list[EvidenceRun]] = {}
    for entry in entries:
        runs.setdefault(entry.packages.get("transformers", ""), []).append(entry)
    applies = [releases_inside(breaks[name], support) for name in family.breaks if name in breaks]
    found = {}
    for at, release in enumerate(support.transformers):
        known = any(support.knows(release.version, kind) for kind in family.match.model_type)
        grade, fails = _of_runs(runs.get(release.version, ()))
        static: Grade | None = "static" if known and family.kind == "native" else None
        found[release.version] = Cell(
            grade=max(filter(None, (grade, static)), key=GRADES.index, default=None),
            fails=fails,
            broken=(known or fails is not None) and any(inside[at] for inside in applies),
        )
    return found


def by_series(found: Mapping[str, Cell]) -> dict[str, Cell]:
    """The cells of the releases of a series as one: its best grade, and the first thing that failed in any of them."""
    grouped: dict[str, list[Cell]] = {}
    for version, cell in found.items():
        grouped.setdefault(series_of(version), []).append(cell)
    return {series: _together(members) for series, members in grouped.items()}


def _together(members: Sequence[Cell]) -> Cell:
    good = [one for one in members if one.state != "fails"]
    grade = max((one.grade for one in good if one.grade), key=GRADES.index, default=None)
    fails = [one.fails for one in members if one.fails is not None]
    run = grade is not None and GRADES.index(grade) >= _LOAD
    # Where nothing of the series was seen to load, one that was seen to fail counts more than a wheel that was read.
    return Cell(
        grade=grade if run or not fails else None,
        fails=min(fails, key=_CAPABILITIES.index, default=None),
        broken=any(one.broken for one in members),
    )


def _of_runs(entries: Iterable[EvidenceRun]) -> tuple[Grade | None, str | None]:
    """The best grade that the environments of one release proved, and the first capability that failed in one."""
    environments: dict[str, list[EvidenceRun]] = {}
    failed = []
    for entry in entries:
        environments.setdefault(str((sorted(entry.packages.items()), entry.python)), []).append(entry)
        if entry.outcome in {"fail", "timeout"}:
            failed.append(entry.capability)
    grades = [grade for runs in environments.values() if (grade := reached(runs))]
    return max(grades, key=GRADES.index, default=None), min(failed, key=_CAPABILITIES.index, default=None)
