"""What the runs of a family's shapes say of its conditions: a floor for some of its models only. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envpin.matrix.convert import join
from envpin.matrix.results import PROVES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.types import Condition, Grade, Matrix


@dataclass(frozen=True, kw_only=True, slots=True)
class ProvedCondition:
    """Runs of its shape stand on either side of the condition at `index` of a family."""

    family: str
    index: int
    grade: Grade
    evidence: tuple[str, ...]


def proved_conditions(matrix: Matrix, runs: Iterable[EvidenceRun]) -> Iterator[ProvedCondition]:
    """Every condition that its runs prove, where that is news: the nearest release that fails and the nearest that
    works, in the first capability that any release outside fails at."""
    entries = tuple(runs)
    for family in matrix.families.values():
        for index, condition in enumerate(family.conditions):
            found = _proof(condition, [one for one in entries if one.family == condition.shape])
            if found is not None and found != (condition.grade, condition.evidence):
                yield ProvedCondition(family=family.id, index=index, grade=found[0], evidence=found[1])


def _proof(condition: Condition, runs: Sequence[EvidenceRun]) -> tuple[Grade, tuple[str, ...]] | None:
    versions = SpecifierSet(condition.versions)
    inside = [one for one in runs if versions.contains(_version(one, condition)) and one.outcome == "ok"]
    outside = [one for one in runs if not versions.contains(_version(one, condition)) and one.outcome == "fail"]
    for capability, grade in PROVES.items():
        works = [one for one in inside if one.capability == capability]
        fails = [one for one in outside if one.capability == capability]
        if works and fails:
            reach = {Version(_version(one, condition)): one.id for one in (*works, *fails)}
            at = sorted(reach)
            edges = [
                (one, other) for one, other in pairwise(at)
                if versions.contains(str(one)) != versions.contains(str(other))
            ]  # fmt: skip
            return grade, tuple(sorted({reach[version] for pair in edges for version in pair}))
    return None


def refuted_conditions(matrix: Matrix, runs: Iterable[EvidenceRun]) -> Iterator[str]:
    """A shape that fails inside the versions of its condition, or is merged outside them."""
    entries = tuple(runs)
    for family in matrix.families.values():
        for index, condition in enumerate(family.conditions):
            at, versions = f"{join('families', family.id)}.conditions[{index}]", SpecifierSet(condition.versions)
            for run in entries:
                if condition.shape is None or run.family != condition.shape:
                    continue
                inside = versions.contains(_version(run, condition))
                if inside and run.outcome == "fail" and run.capability != "cross-merge":
                    yield f"{at}.versions: '{condition.versions}', but `{run.id}` fails"
                if not inside and run.outcome == "ok" and run.capability == "merge":
                    yield f"{at}.versions: '{condition.versions}', but `{run.id}` works"


def _version(run: EvidenceRun, condition: Condition) -> str:
    return run.packages.get(condition.package, "0")
