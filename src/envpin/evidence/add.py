"""`matrix add`: what a document of evidence changes in the matrix, and what in it contradicts the matrix. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from envpin.core.versions import same_release
from envpin.evidence.computed import BreakChanges, recomputed
from envpin.evidence.proof import RUN_GRADES
from envpin.evidence.shapes import ProvedCondition, proved_conditions, refused_by_condition
from envpin.evidence.tuples import proved_tuple
from envpin.matrix.convert import join
from envpin.matrix.recipes import family_of
from envpin.matrix.results import PROVES, EvidenceRun, reached
from envpin.matrix.types import GRADES, Break, Family, Grade, KnownGood, Matrix, Statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from envpin.matrix.results import EvidenceFile
    from envpin.matrix.support import Support

_READING = frozenset({"import", "config", "load", "forward"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Raised:
    """The known-good tuple at `index` of a family has reached `grade`; `evidence` are the ids of its runs."""

    family: str
    index: int
    grade: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmedBreak:
    """The break `name` of the matrix was found again: its grade and all of its evidence."""

    name: str
    grade: Grade
    evidence: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Additions:
    """What follows from new evidence. `entries` is everything that will be kept, old and new. `tuples` are known-good
    versions that were run where those of the matrix were not."""

    entries: dict[str, EvidenceRun]
    fresh: tuple[str, ...] = ()
    raised: tuple[Raised, ...] = ()
    tuples: dict[str, KnownGood] = field(default_factory=dict)
    statements: dict[str, tuple[Statement, ...]] = field(default_factory=dict)
    breaks: dict[str, Break] = field(default_factory=dict)
    attached: tuple[ConfirmedBreak, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    conditions: tuple[ProvedCondition, ...] = ()
    computed: BreakChanges = BreakChanges({}, (), {})  # noqa: RUF009  it holds nothing that could change
    notes: tuple[str, ...] = ()

    @property
    def changes_matrix(self) -> bool:
        return bool(self.raised or self.tuples or self.statements or self.breaks or self.attached or self.links
                    or self.conditions or self.computed)  # fmt: skip


def plan_additions(
    matrix: Matrix, kept: Mapping[str, EvidenceRun], document: EvidenceFile, *, support: Support | None = None
) -> Additions:
    """What the evidence adds, given that nothing in it contradicts the matrix (see `contradictions`).

    `support` dates releases; without it no tuple is added.
    """
    fresh = tuple(dict.fromkeys(one.id for one in document.entries if kept.get(one.id) != one))
    entries = {**kept, **{one.id: one for one in document.entries}}
    touched = list(dict.fromkeys(one.family for one in document.entries if one.family in matrix.families))
    raised: list[Raised] = []
    tuples: dict[str, KnownGood] = {}
    statements: dict[str, tuple[Statement, ...]] = {}
    notes: list[str] = []
    by_family: dict[str, list[EvidenceRun]] = {}
    for entry in entries.values():
        by_family.setdefault(entry.family, []).append(entry)
    for name in touched:
        family, own = matrix.families[name], by_family[name]
        better = [*_raise(family, own)]
        raised += better
        proved = None if support is None else proved_tuple(family, own, support)
        if proved is not None and not better and not any(one.grade in RUN_GRADES for one in family.known_good):
            tuples[name] = proved
        made, said = _statements(family, own, matrix)
        notes += said
        if made != family.support:
            statements[name] = made
    computed = recomputed(matrix, entries.values(), support) if support is not None else BreakChanges({}, (), {})
    known = {key: _same_break(entry, matrix) for key, entry in document.breaks.items()}
    breaks = {key: entry for key, entry in document.breaks.items() if known[key] is None}
    links = [
        (name, link)
        for key, entry in document.breaks.items()
        for name in _stopped(entry, entries) or touched
        if (link := known[key] or key) not in matrix.families[name].breaks
    ]
    return Additions(
        entries=entries, fresh=fresh, raised=tuple(raised), tuples=tuples, statements=statements, breaks=breaks,
        attached=tuple(_attach(document.breaks, known, matrix)), links=tuple(links), notes=tuple(notes),
        conditions=tuple(proved_conditions(matrix, entries.values())), computed=computed,
    )  # fmt: skip


def _statements(family: Family, own: Sequence[EvidenceRun], matrix: Matrix) -> tuple[tuple[Statement, ...], list[str]]:
    """The family's statements with those that its runs make, and why others make none."""
    plain = [one for one in own if one.outcome == "ok" or not _explained(one, matrix)]
    inferred, notes = {}, []
    for capability in PROVES:
        statement, note = _statement(family, capability, plain)
        notes += [note] if note else []
        if statement is not None:
            inferred[statement.capability, statement.package] = statement
    failed = [one for one in plain if one.outcome == "fail"]
    kept = {
        (one.capability, one.package): one
        for one in family.support
        if (one.capability, one.package) not in inferred and not _denied(one, failed)
    }
    return tuple({**kept, **_telling(inferred)}.values()), notes


def _denied(statement: Statement, failed: Sequence[EvidenceRun]) -> bool:
    """Whether a run failed inside what an older statement says to work."""
    versions = SpecifierSet(statement.versions)
    return any(
        one.capability == statement.capability and versions.contains(one.packages.get(statement.package, "0"))
        for one in failed
    )


def _telling(inferred: Mapping[tuple[str, str], Statement]) -> dict[tuple[str, str], Statement]:
    """The first step, and every one that says other versions than the step after it: what merges also trains."""
    kept: dict[tuple[str, str], Statement] = {}
    follower: Statement | None = None
    for at, (place, statement) in reversed([*enumerate(inferred.items())]):
        alike = follower is not None and follower.versions == statement.versions
        if at == 0 or not alike or statement.capability == "merge":
            kept[place] = statement
        follower = statement
    return dict(reversed(kept.items()))


def _attach(breaks: Mapping[str, Break], known: Mapping[str, str | None], matrix: Matrix) -> Iterator[ConfirmedBreak]:
    for key, new in breaks.items():
        name = known[key]
        if name is None or not new.evidence:
            continue
        old = matrix.breaks[name]
        evidence = tuple(dict.fromkeys((*old.evidence, *new.evidence)))
        grade = max(old.grade, new.grade, key=GRADES.index)
        if (grade, evidence) != (old.grade, old.evidence):
            yield ConfirmedBreak(name=name, grade=grade, evidence=evidence)


def _stopped(entry: Break, entries: Mapping[str, EvidenceRun]) -> list[str]:
    """The families whose runs failed, among the evidence of a break."""
    runs = [entries[one] for one in entry.evidence if one in entries]
    return list(dict.fromkeys(one.family for one in runs if one.outcome == "fail"))


def contradictions(
    matrix: Matrix, kept: Mapping[str, EvidenceRun], document: EvidenceFile, *, replace: bool = False
) -> list[tuple[str, str]]:
    """(family or break, one line) for everything in the document that the matrix or older evidence says otherwise.

    With `replace`, an outcome may differ from the one that is kept of the same run.
    """
    found: list[tuple[str, str]] = []
    seen: dict[str, EvidenceRun] = {} if replace else dict(kept)
    for at, entry in enumerate(document.entries):
        family = matrix.families.get(family_of(entry.family))
        if family is None:
            found.append((entry.family, f"entries[{at}].family: `{entry.family}` is not a family of the matrix"))
            continue
        before = seen.get(entry.id)
        if before is not None and {before.outcome, entry.outcome} == {"ok", "fail"}:
            where = "kept evidence" if kept.get(entry.id) is before else "another entry"
            failed = entry if entry.outcome == "fail" else before
            line = f"`{entry.id}` is {entry.outcome}, and {where} of {before.date} says {before.outcome}{_said(failed)}"
            found.append((entry.family, f"entries[{at}]: {line}"))
        seen[entry.id] = entry
        if entry.family != family.id:
            continue  # a shape of it, which may need other versions: what that says, its condition says
        if entry.outcome == "fail":
            found += ((entry.family, line) for line in _fails(family, entry, matrix))
        elif entry.outcome == "ok":
            found += ((entry.family, line) for line in _works(family, entry, matrix))
    for key, new in document.breaks.items():
        found += ((key, line) for line in _other_boundary(key, new, matrix))
    return found


def _fails(family: Family, entry: EvidenceRun, matrix: Matrix) -> Iterator[str]:
    at = join("families", family.id)
    for index, good in enumerate(family.known_good):
        if not entry.trained_with and _is_of(entry, good):
            yield f"{at}.known_good[{index}]: {_pins(good.packages)} is known good, but {_failure(entry)}"
            return
    version = entry.packages.get("transformers")
    requirement = family.requires.get("transformers")
    if version is None or requirement is None or entry.capability not in _READING:
        return
    if refused_by_condition(family, version):
        return
    if SpecifierSet(requirement.versions).contains(version) and not _explained(entry, matrix):
        yield f"{at}.requires.transformers: '{requirement.versions}' allows {version}, but {_failure(entry)}"


def _works(family: Family, entry: EvidenceRun, matrix: Matrix) -> Iterator[str]:
    """Breaks of this family that forbid what was seen to work, as far as no other package is a way out."""
    for name in family.breaks:
        known = matrix.breaks[name]
        version = entry.packages.get(known.package)
        if known.silent or version is None or entry.capability not in known.affects:
            continue
        if SpecifierSet(known.versions).contains(version) and entry.capability in _READING:
            yield (
                f"{join('breaks', name)}.versions: '{known.versions}' has {known.package} {version}, but "
                f"`{entry.id}` works with it"
            )


def _explained(entry: EvidenceRun, matrix: Matrix) -> bool:
    """Whether a relation, or an import that breaks in another package, already says that this cannot work."""
    for relation in matrix.relations:
        one, other = entry.packages.get(relation.package), entry.packages.get(relation.other)
        applies = one and other and SpecifierSet(relation.versions).contains(one)
        if applies and other and not SpecifierSet(relation.needs).contains(other):
            return True
    return any(
        known.package in entry.packages
        and SpecifierSet(known.versions).contains(entry.packages[known.package])
        and _is_symptom(known, entry.error)
        for known in matrix.breaks.values()
        if known.package != "transformers" and "import" in known.affects
    )


def _is_symptom(known: Break, error: str) -> bool:
    """Whether a break of an import can be what the error is about: another failure is not explained by it."""
    if known.symptom is not None:
        return re.search(known.symptom, error) is not None
    return not error or "ImportError" in error or "ModuleNotFoundError" in error


def _other_boundary(key: str, new: Break, matrix: Matrix) -> Iterator[str]:
    """Same id, or same symptom in the same package, and another boundary."""
    for name, known in matrix.breaks.items():
        alike = name == key or (
            new.symptom is not None and known.symptom == new.symptom and known.package == new.package
        )
        if alike and (known.package, SpecifierSet(known.versions)) != (new.package, SpecifierSet(new.versions)):
            yield (
                f"{join('breaks', name)}.versions: says {known.package} '{known.versions}', and the evidence says "
                f"{new.package} '{new.versions}'"
            )


def _same_break(new: Break, matrix: Matrix) -> str | None:
    """The break that says the same: package, boundary, and symptom or what it affects."""
    for name, known in matrix.breaks.items():
        if (known.package, SpecifierSet(known.versions)) == (new.package, SpecifierSet(new.versions)) and (
            {*known.affects} & {*new.affects} or (known.symptom is not None and known.symptom == new.symptom)
        ):
            return name
    return None


def _raise(family: Family, own: Sequence[EvidenceRun]) -> Iterator[Raised]:
    for index, good in enumerate(family.known_good):
        runs = [one for one in own if _is_of(one, good) and not one.trained_with]
        grade = reached(runs)
        evidence = tuple(one.id for one in sorted(runs, key=lambda one: one.id) if one.outcome == "ok")
        if grade is None or GRADES.index(grade) < GRADES.index(good.grade):
            continue
        if (grade, evidence) != (good.grade, good.evidence):
            yield Raised(family=family.id, index=index, grade=grade, evidence=evidence)


def _statement(family: Family, capability: str, own: Iterable[EvidenceRun]) -> tuple[Statement | None, str | None]:
    """What the runs of one capability say over the releases of transformers, or why they say nothing simple."""
    by_version: dict[str, list[EvidenceRun]] = {}
    for one in own:
        if one.capability == capability and one.outcome in {"ok", "fail"} and "transformers" in one.packages:
            by_version.setdefault(one.packages["transformers"], []).append(one)
    at = f"{join('families', family.id)}: {capability}"
    order = sorted(by_version, key=Version)
    mixed = [version for version in order if len({one.outcome for one in by_version[version]}) > 1]
    if mixed:
        return None, f"{at} depends on more than transformers at {', '.join(mixed)}; no statement"
    works = [by_version[version][0].outcome == "ok" for version in order]
    if len(order) < 2 or not any(works):
        return None, None
    first, last = works.index(True), len(works) - 1 - works[::-1].index(True)
    if not all(works[first : last + 1]):
        holes = [order[index] for index in range(first, last) if not works[index]]
        return None, f"{at} fails in between, at {', '.join(holes)}; no statement"
    edges = [order[index] for index in (first - 1, first, last, last + 1) if 0 <= index < len(order)]
    spread = f">={order[first]},<={order[last]}" if first != last else f"=={order[first]}"
    return Statement(
        capability=capability,
        package="transformers",
        versions=spread,
        tested=last - first + 1,
        grade=PROVES[capability],
        evidence=tuple(dict.fromkeys(min(one.id for one in by_version[version]) for version in edges)),
    ), None


def _is_of(entry: EvidenceRun, good: KnownGood) -> bool:
    return entry.python == good.python and all(
        same_release(entry.packages.get(package), version) for package, version in good.packages.items()
    )


def _pins(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in packages.items())


def _failure(entry: EvidenceRun) -> str:
    return f"{entry.capability} fails with {_pins(entry.packages)}{_said(entry)}"


def _said(entry: EvidenceRun) -> str:
    line = entry.error.strip().splitlines()[0][:160] if entry.error.strip() else ""
    return f" ({line})" if line else ""


def without(document: EvidenceFile, names: Iterable[str]) -> EvidenceFile:
    """The document without the entries of these families and without these breaks."""
    left_out = set(names)
    return msgspec.structs.replace(
        document,
        entries=tuple(one for one in document.entries if one.family not in left_out),
        breaks={key: entry for key, entry in document.breaks.items() if key not in left_out},
    )
