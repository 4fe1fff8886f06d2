"""Do the intervals of the matrix contradict one another? Pure; a part of `matrix lint`."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpin.matrix.convert import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.matrix.types import Family, Matrix

_READING = frozenset({"import", "config", "load"})


def contradicting_intervals(matrix: Matrix) -> Iterator[str]:
    """Relations that leave nothing over, requirements that allow what a break or a statement excludes."""
    for index, relation in enumerate(matrix.relations):
        for field in ("versions", "needs"):
            if SpecifierSet(getattr(relation, field)).is_unsatisfiable():
                yield f"relations[{index}].{field}: no version is in '{getattr(relation, field)}'"
    for (first, one), (second, other) in combinations(enumerate(matrix.relations), 2):
        if (one.package, one.other) != (other.package, other.other):
            continue
        both = SpecifierSet(one.versions) & SpecifierSet(other.versions)
        if not both.is_unsatisfiable() and (SpecifierSet(one.needs) & SpecifierSet(other.needs)).is_unsatisfiable():
            yield (
                f"relations[{second}].needs: '{other.needs}' contradicts relations[{first}], which says '{one.needs}' "
                f"of {one.other} for {one.package} {both}"
            )
    for family in matrix.families.values():
        yield from _of_family(family, matrix, join("families", family.id))


def _of_family(family: Family, matrix: Matrix, at: str) -> Iterator[str]:
    for package, requirement in family.requires.items():
        allowed = SpecifierSet(requirement.versions)
        if allowed.is_unsatisfiable():
            yield f"{at}.requires.{package}: no version is in '{requirement.versions}'"
            continue
        for name in family.breaks:
            known = matrix.breaks[name]
            hard = known.package == package and not known.silent and not _READING.isdisjoint(known.affects)
            if hard and not (allowed & SpecifierSet(known.versions)).is_unsatisfiable():
                yield (
                    f"{at}.requires.{package}: '{requirement.versions}' contradicts breaks.{name}, which stops "
                    f"{', '.join(known.affects)} with '{known.versions}'"
                )
    for index, statement in enumerate(family.support):
        if SpecifierSet(statement.versions).is_unsatisfiable():
            yield f"{at}.support[{index}].versions: no version is in '{statement.versions}'"
        for name in family.breaks:
            known = matrix.breaks[name]
            hard = known.package == statement.package and not known.silent and statement.capability in known.affects
            overlap = SpecifierSet(statement.versions) & SpecifierSet(known.versions)
            if hard and statement.capability in _READING and not overlap.is_unsatisfiable():
                yield (
                    f"{at}.support[{index}].versions: '{statement.versions}' contradicts breaks.{name}, which stops "
                    f"{statement.capability} with '{known.versions}'"
                )
    for (first, one), (second, other) in combinations(enumerate(family.support), 2):
        if (one.capability, one.package) == (other.capability, other.package):
            yield f"{at}.support[{second}]: says {one.capability} with {one.package} again, after support[{first}]"
