"""Is what the matrix claims to have been run still what was run? Pure; a part of `matrix lint`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpin.core.files import digest
from envpin.core.versions import same_release
from envpin.matrix.convert import join
from envpin.matrix.results import reached
from envpin.matrix.types import GRADES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.matrix.results import EvidenceRun
    from envpin.matrix.types import Break, Condition, Family, KnownGood, Statement

RUN_GRADES = frozenset({"import", "load", "train", "merge-verified"})


def family_proof(
    family: Family, *, locks: Mapping[str, bytes], evidence: Mapping[str, EvidenceRun], today: str | None
) -> Iterator[str]:
    """Grades without evidence, evidence that is gone or says something else, locks that are other files."""
    at = join("families", family.id)
    for index, good in enumerate(family.known_good):
        place = f"{at}.known_good[{index}]"
        yield from _known_good(good, evidence, place)
        yield from _dates(good.evidence, evidence, place, today)
        yield from _lock(good, locks, place)
    for index, statement in enumerate(family.support):
        place = f"{at}.support[{index}]"
        yield from _statement(statement, evidence, place)
        yield from _dates(statement.evidence, evidence, place, today)
    for index, condition in enumerate(family.conditions):
        yield from _condition(condition, evidence, f"{at}.conditions[{index}]")


def break_proof(entry: Break, *, evidence: Mapping[str, EvidenceRun]) -> Iterator[str]:
    """A break that is graded as run has runs on both sides of its boundary."""
    at = join("breaks", entry.id)
    missing = [name for name in entry.evidence if name not in evidence]
    yield from (f"{at}.evidence: there is no committed result `{name}`" for name in missing)
    if entry.grade not in RUN_GRADES:
        return
    if not entry.evidence:
        yield f"{at}.grade: is {entry.grade} without evidence"
        return
    runs = [evidence[name] for name in entry.evidence if name in evidence]
    if not missing and not any(one.outcome == "fail" for one in runs):
        yield f"{at}.evidence: none of its runs failed"


def _known_good(good: KnownGood, evidence: Mapping[str, EvidenceRun], at: str) -> Iterator[str]:
    if good.grade in RUN_GRADES and not good.evidence:
        yield f"{at}.grade: is {good.grade} without evidence"
    runs: list[EvidenceRun] = []
    for name in good.evidence:
        run = evidence.get(name)
        if run is None:
            yield f"{at}.evidence: there is no committed result `{name}`; verify again"
            continue
        differing = [
            f"{package} {run.packages.get(package, 'absent')}"
            for package, version in good.packages.items()
            if not same_release(run.packages.get(package), version)
        ] + ([f"Python {run.python}"] if run.python != good.python else [])
        if differing:
            yield f"{at}.evidence: `{name}` is stale: it was run with {', '.join(differing)}; verify again"
        else:
            runs.append(run)
    if good.grade in RUN_GRADES and runs and len(runs) == len(good.evidence):
        proved = reached(runs)
        if proved is None or GRADES.index(proved) < GRADES.index(good.grade):
            yield f"{at}.grade: is {good.grade}, and its runs prove {proved or 'nothing'}"


def _statement(statement: Statement, evidence: Mapping[str, EvidenceRun], at: str) -> Iterator[str]:
    if statement.grade in RUN_GRADES and not statement.evidence:
        yield f"{at}.grade: is {statement.grade} without evidence"
    versions = SpecifierSet(statement.versions)
    for name in statement.evidence:
        run = evidence.get(name)
        if run is None:
            yield f"{at}.evidence: there is no committed result `{name}`; verify again"
        elif statement.package in run.packages:
            inside = versions.contains(run.packages[statement.package], prereleases=True)
            if inside != (run.outcome == "ok"):
                yield f"{at}.versions: '{statement.versions}', but `{name}` is {run.outcome}"


def _condition(condition: Condition, evidence: Mapping[str, EvidenceRun], at: str) -> Iterator[str]:
    """A condition that is graded as run has a run that failed outside its versions and one that worked inside."""
    versions = SpecifierSet(condition.versions)
    seen = set()
    for name in condition.evidence:
        run = evidence.get(name)
        if run is None:
            yield f"{at}.evidence: there is no committed result `{name}`; verify again"
            continue
        inside = versions.contains(run.packages.get(condition.package, "0"))
        if inside != (run.outcome == "ok"):
            yield f"{at}.versions: '{condition.versions}', but `{name}` is {run.outcome}"
        seen.add(inside)
    if condition.grade in RUN_GRADES and seen != {True, False}:
        yield f"{at}.grade: is {condition.grade} without a run on either side of '{condition.versions}'"


def _dates(names: tuple[str, ...], evidence: Mapping[str, EvidenceRun], at: str, today: str | None) -> Iterator[str]:
    """A run that is dated in the future was not run. Age is no fault: pinned versions do not change."""
    for name in names:
        if today is not None and name in evidence and evidence[name].date > today:
            yield f"{at}.evidence: `{name}` is dated {evidence[name].date}, after today"


def _lock(good: KnownGood, locks: Mapping[str, bytes], at: str) -> Iterator[str]:
    if good.lock is None:
        if good.lock_sha256 is not None:
            yield f"{at}.lock_sha256: is given without a lock"
        return
    text = locks.get(good.lock)
    if text is None:
        yield f"{at}.lock: there is no lockfiles/pylock.{good.lock}.toml"
    elif good.lock_sha256 is not None and digest(text) != good.lock_sha256:
        yield f"{at}.lock_sha256: is stale: pylock.{good.lock}.toml is another file than the one that was verified"
