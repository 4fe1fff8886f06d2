"""Which hand-written statements do the runs refute, and which claim a run's grade without one? Pure; a part of `lint`.

A break is about adapters that cross its boundary where it is silent or says so in `affects`; else it stops a capability
inside its versions. Each failed crossing of the evidence must be told: by a break of its family, by one that is about
no family at all, or by the condition of the shape that crossed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpin.core.sizes import counted
from envpin.evidence.proof import RUN_GRADES
from envpin.evidence.shapes import refused_by_condition, refuted_conditions
from envpin.evidence.ways import fits_way, read_way
from envpin.matrix.convert import join
from envpin.matrix.recipes import family_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.types import Break, Condition, Family, Matrix, Relation, Statement

_CROSS = "cross-merge"
_CROSSING = frozenset({_CROSS, "load-adapter", "merge", "forward"})


def refuted_statements(matrix: Matrix, evidence: Mapping[str, EvidenceRun]) -> Iterator[str]:
    """Every statement of the matrix that a run contradicts, or that claims runs which do not exist."""
    by_family: dict[str, list[EvidenceRun]] = {}
    for run in evidence.values():
        by_family.setdefault(run.family, []).append(run)
    for family in matrix.families.values():
        own = by_family.get(family.id, [])
        at = join("families", family.id)
        yield from _of_requirement(family, own, at)
        for index, statement in enumerate(family.support):
            yield from _of_statement(statement, own, f"{at}.support[{index}]")
        shapes = [run for name, runs in by_family.items() if family_of(name) == family.id for run in runs]
        yield from _unexplained(family, shapes, matrix, at)
    for entry in matrix.breaks.values():
        families = [one for one in matrix.families.values() if entry.id in one.breaks]
        runs = [run for one in families for run in by_family.get(one.id, [])]
        yield from _of_break(entry, families, runs)
    yield from refuted_conditions(matrix, evidence.values())
    for at_index, relation in enumerate(matrix.relations):
        yield from _of_relation(relation, evidence, f"relations[{at_index}]")


def _of_requirement(family: Family, runs: Sequence[EvidenceRun], at: str) -> Iterator[str]:
    """What `requires` allows loads."""
    requirement = family.requires.get("transformers")
    if requirement is None:
        return
    allowed = SpecifierSet(requirement.versions)
    for run in runs:
        version = run.packages.get("transformers", "")
        failed = run.capability == "load" and run.outcome == "fail"
        if failed and allowed.contains(version) and not refused_by_condition(family, version):
            yield f"{at}.requires.transformers: '{requirement.versions}' allows {version}, but `{run.id}` fails"


def _of_statement(statement: Statement, runs: Sequence[EvidenceRun], at: str) -> Iterator[str]:
    """No run inside a statement failed, and its count is that of the releases inside that were run."""
    versions = SpecifierSet(statement.versions)
    inside = [run for run in runs if run.capability == statement.capability
              and versions.contains(run.packages.get(statement.package, "0"))]  # fmt: skip
    failed = [run for run in inside if run.outcome == "fail"]
    if statement.capability != _CROSS:
        yield from (f"{at}.versions: '{statement.versions}', but `{run.id}` fails" for run in failed)
    worked = {run.packages[statement.package] for run in inside if run.outcome == "ok"}
    if statement.tested != len(worked):
        yield f"{at}.tested: is {statement.tested}, and runs at {counted(len(worked), 'release')} inside worked"


def _unexplained(family: Family, runs: Sequence[EvidenceRun], matrix: Matrix, at: str) -> Iterator[str]:
    of_families = {name for one in matrix.families.values() for name in one.breaks}
    # A break that was run is one of the families that ran it, whether they name it or not.
    general = [one for name, one in matrix.breaks.items() if name not in of_families and one.grade not in RUN_GRADES]
    own = [matrix.breaks[name] for name in family.breaks]
    for run in runs:
        if run.capability == _CROSS and run.outcome == "fail" and not _is_told(run, own, general, family.conditions):
            yield (
                f"{at}.breaks: none of them says that an adapter of {_pair(run.trained_with)} fails with "
                f"{_pair(run.packages)} (`{run.id}`)"
            )


def _is_told(run: EvidenceRun, own: Sequence[Break], general: Sequence[Break], conditions: Sequence[Condition]) -> bool:
    """Whether something says that this crossing fails: a break of the family; one that no family names, where the run
    shows its symptom; or a condition of the shape that crossed, outside of whose versions one of its sides lies."""
    if any(crosses(one, run) or (not is_about_crossings(one) and stops(one, run)) for one in own):
        return True
    if any(one.symptom and re.search(one.symptom, run.error) and crosses(one, run) for one in general):
        return True
    return any(
        not SpecifierSet(condition.versions).contains(side.get(condition.package, "0"))
        for condition in conditions if condition.shape == run.family
        for side in (run.trained_with, run.packages)
    )  # fmt: skip


def is_about_crossings(entry: Break) -> bool:
    """Whether a break hits adapters and bases that go over its boundary, rather than all that is done inside it."""
    return _CROSS in entry.affects or "load-adapter" in entry.affects or (entry.silent and entry.affects != ("merge",))


def stops(entry: Break, run: EvidenceRun) -> bool:
    """Whether a break says that what this run did fails in its environment; a crossing ends with a merge."""
    step = "merge" if run.capability == _CROSS else run.capability
    return step in entry.affects and not is_about_crossings(entry) and _is_inside(entry, run)


def _is_inside(entry: Break, run: EvidenceRun) -> bool:
    spans = {entry.package: entry.versions, **entry.alongside}
    return all(SpecifierSet(versions).contains(run.packages.get(name, "0")) for name, versions in spans.items())


def crosses(entry: Break, run: EvidenceRun) -> bool:
    """Whether the adapter of a crossing goes over the boundary of the break, in the direction that it hits."""
    versions = SpecifierSet(entry.versions)
    before, after = (versions.contains(one.get(entry.package, "0")) for one in (run.trained_with, run.packages))
    if not all(SpecifierSet(bound).contains(run.packages.get(name, "0")) for name, bound in entry.alongside.items()):
        return False
    return (not before and after) if entry.crossing == "into" else (before and not after)


def _of_break(entry: Break, families: Sequence[Family], runs: Sequence[EvidenceRun]) -> Iterator[str]:
    at = join("breaks", entry.id)
    ways = [(text, read_way(text)) for text in entry.ways_out]
    if is_about_crossings(entry):
        hit = [run for run in runs if run.capability == _CROSS and crosses(entry, run)]
    else:
        hit = _stopped(entry, runs)
        yield from _outside(entry, runs, at)
    for run in hit:
        taken = [text for text, way in ways if fits_way(way, run.packages)]
        if run.outcome == "ok" and not taken:
            yield f"{at}.versions: '{entry.versions}', but `{run.id}` works"
        if run.outcome == "fail":
            yield from (f"{at}.ways_out: '{text}', but `{run.id}` fails" for text in taken)
    if entry.grade in RUN_GRADES:
        for family in families:
            yield from _unsupported(entry, family, ways, [run for run in runs if run.family == family.id], at)


def _stopped(entry: Break, runs: Sequence[EvidenceRun]) -> list[EvidenceRun]:
    """The runs of what the break stops, inside its versions."""
    return [run for run in runs if run.capability in entry.affects and _is_inside(entry, run)]


def _outside(entry: Break, runs: Sequence[EvidenceRun], at: str) -> Iterator[str]:
    """Failures with the break's own symptom where its versions say that there is none."""
    versions = SpecifierSet(entry.versions)
    for run in runs:
        version = run.packages.get(entry.package, "0")
        told = entry.symptom is not None and re.search(entry.symptom, run.error)
        if run.outcome == "fail" and run.capability in entry.affects and told and not versions.contains(version):
            yield f"{at}.versions: '{entry.versions}' leaves out {version}, but `{run.id}` fails as it says"


def _unsupported(
    entry: Break,
    family: Family,
    ways: Sequence[tuple[str, Mapping[str, SpecifierSet]]],
    runs: Sequence[EvidenceRun],
    at: str,
) -> Iterator[str]:
    """A break that is graded as run has, for each of its families, a run that failed and one for each way out."""
    crossing = is_about_crossings(entry)
    hit = (
        [run for run in runs if run.capability == _CROSS and crosses(entry, run)] if crossing else _stopped(entry, runs)
    )
    if not any(run.outcome == "fail" for run in hit):
        yield f"{at}.grade: is {entry.grade}, but no run of {family.id} shows it"
    versions = SpecifierSet(entry.versions)
    for text, way in ways:
        good = [run for run in runs if run.outcome == "ok" and fits_way(way, run.packages)]
        if crossing:  # within the break, only an adapter that crossed shows that the way leads out
            good = [run for run in good if run in hit or (run.capability in {"merge", _CROSS} and
                    versions.contains(run.packages.get(entry.package, "0")) != (entry.crossing == "into"))]  # fmt: skip
        if way and not good:
            yield f"{at}.ways_out: '{text}' is graded {entry.grade}, but no run of {family.id} went that way"


def _of_relation(relation: Relation, evidence: Mapping[str, EvidenceRun], at: str) -> Iterator[str]:
    """A merge that works with versions which the relation excludes; one run refutes it."""
    versions, needs = SpecifierSet(relation.versions), SpecifierSet(relation.needs)
    for run in evidence.values():
        one, other = run.packages.get(relation.package), run.packages.get(relation.other)
        if run.capability != "merge" or run.outcome != "ok" or one is None or other is None:
            continue
        if versions.contains(one) and not needs.contains(other):
            yield (
                f"{at}.needs: '{relation.needs}', but `{run.id}` works with {relation.package} {one} and "
                f"{relation.other} {other}"
            )
            return


def _pair(packages: Mapping[str, str]) -> str:
    return " + ".join(f"{name} {packages[name]}" for name in ("transformers", "peft") if name in packages)
