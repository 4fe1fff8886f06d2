"""What the runs of a family's shapes say of its conditions: a floor for some of its models only. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envpin.matrix.conditions import held_conditions
from envpin.matrix.convert import join
from envpin.matrix.recipes import load_recipes
from envpin.matrix.results import PROVES
from envpin.matrix.types import GRADES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.types import Condition, Family, Grade, Matrix


@dataclass(frozen=True, kw_only=True, slots=True)
class ProvedCondition:
    """Runs of its shape stand on either side of the condition at `index` of a family."""

    family: str
    index: int
    grade: Grade
    evidence: tuple[str, ...]


def proved_conditions(matrix: Matrix, runs: Iterable[EvidenceRun]) -> Iterator[ProvedCondition]:
    """Every condition that its runs prove, where that is news: the nearest release outside that fails, and the nearest
    inside that merges.

    A release outside may well train the shape: it makes the model as it understands the config. What it then cannot do
    is take a base that a release inside has saved, so crossings count as much as steps.
    """
    entries = tuple(runs)
    for family in matrix.families.values():
        for index, condition in enumerate(family.conditions):
            found = _proof(condition, [one for one in entries if one.family == condition.shape])
            if found is not None and found != (condition.grade, condition.evidence):
                yield ProvedCondition(family=family.id, index=index, grade=found[0], evidence=found[1])


def _proof(condition: Condition, runs: Sequence[EvidenceRun]) -> tuple[Grade, tuple[str, ...]] | None:
    versions, order = SpecifierSet(condition.versions), [*PROVES]
    reach: dict[Version, EvidenceRun] = {}
    for run in sorted(runs, key=lambda one: (order.index(one.capability), one.id)):
        inside = versions.contains(_version(run.packages, condition))
        if (inside and (run.capability, run.outcome) == ("merge", "ok")) or (
            not inside and run.outcome == "fail" and _is_of_inside(run, condition, versions)
        ):
            reach.setdefault(Version(_version(run.packages, condition)), run)
    edges = {
        reach[version].id: reach[version]
        for pair in pairwise(sorted(reach))
        if versions.contains(str(pair[0])) != versions.contains(str(pair[1]))
        for version in pair
    }
    if not edges:
        return None
    grades = [PROVES[one.capability] for one in edges.values() if one.outcome == "fail"]
    return min(grades, key=GRADES.index), tuple(sorted(edges))


def _is_of_inside(run: EvidenceRun, condition: Condition, versions: SpecifierSet) -> bool:
    """Whether a crossing brings what a release inside made; any other step does."""
    return run.capability != "cross-merge" or versions.contains(_version(run.trained_with, condition))


def refuted_conditions(matrix: Matrix, runs: Iterable[EvidenceRun]) -> Iterator[str]:
    """A shape that fails inside the versions of its condition, or that crosses out of them and merges."""
    entries = tuple(runs)
    for family in matrix.families.values():
        for index, condition in enumerate(family.conditions):
            at, versions = f"{join('families', family.id)}.conditions[{index}]", SpecifierSet(condition.versions)
            for run in entries:
                if condition.shape is None or run.family != condition.shape:
                    continue
                inside = versions.contains(_version(run.packages, condition))
                crossed = run.capability == "cross-merge"
                if inside and run.outcome == "fail" and not crossed:
                    yield f"{at}.versions: '{condition.versions}', but `{run.id}` fails"
                if not inside and run.outcome == "ok" and crossed and _is_of_inside(run, condition, versions):
                    yield f"{at}.versions: '{condition.versions}', but `{run.id}` works"


def _version(packages: Mapping[str, str], condition: Condition) -> str:
    return packages.get(condition.package, "0")


def refused_by_condition(family: Family, version: str) -> bool:
    """Whether a condition that the family's tiny model meets leaves this release of transformers out."""
    recipe = load_recipes().get(family.id)
    held = held_conditions(family, recipe.config, None) if recipe is not None else []
    return any(one.package == "transformers" and not SpecifierSet(one.versions).contains(version) for one in held)
