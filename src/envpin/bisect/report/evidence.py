"""A finished search as evidence for the matrix: its probes as entries, its answer as a break. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.envs.locks.requirements import exact_pins
from envpin.matrix.results import KIND, PROVES, SCHEMA, EvidenceFile, EvidenceRun, Outcome
from envpin.matrix.types import Break
from envpin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.bisect.report.report import BisectReport, ProbeRow

_OUTCOMES: Mapping[str, Outcome] = {"passed": "ok", "failed": "fail", "crashed": "fail", "timed-out": "timeout"}


def evidence(report: BisectReport, *, platform: str, today: str) -> EvidenceFile:
    """What `envpin matrix add --from FILE` takes.

    The probes of a family's tiny model become entries, one for each environment; those of a user's own files or command
    are nothing that others could repeat. `today` is the date of a row that has none.
    """
    question = report.question
    entries: dict[str, EvidenceRun] = {}
    edge: list[str] = []
    for row in report.rows:
        entry = _entry(report, row, platform=platform, today=today)
        if entry is None:
            continue
        entries[entry.id] = entry
        if row.version in {report.before, report.after} and entry.outcome in {"ok", "fail"} and entry.id not in edge:
            edge.append(entry.id)
    breaks = {}
    if report.answer == "named" and report.certain:
        subject = question.probe.family or "own-files"
        name = f"{question.package}-{report.after}-{question.probe.action or 'command'}-{subject}"
        breaks[name.replace(".", "-")] = _break(report, tuple(edge))
    return EvidenceFile(schema=SCHEMA, kind=KIND, entries=tuple(entries.values()), breaks=breaks)


def _entry(report: BisectReport, row: ProbeRow, *, platform: str, today: str) -> EvidenceRun | None:
    question = report.question
    action, family = question.probe.action, question.probe.family
    if family is None or action not in PROVES:
        return None
    return EvidenceRun(
        family=family,
        capability=action,  # type: ignore[arg-type]  # looked up in PROVES above
        packages={**exact_pins(question.held), question.package: row.version},
        python=question.python,
        outcome=_OUTCOMES.get(row.status, "untestable"),
        error=row.error,
        seconds=row.seconds,
        date=row.day or today,
        platform=platform,
        lock_digest=row.lock,
        tool=f"envpin bisect {__version__}",
    )


def _break(report: BisectReport, edge: tuple[str, ...]) -> Break:
    question = report.question
    broke = question.find == "broke"
    first = report.error.splitlines()[0] if report.error else ""
    silent = not first or "DoesNothing" in report.error or "Differs" in report.error
    grade = PROVES.get(question.probe.action or "", "reported") if edge else "reported"
    return Break(
        package=question.package,
        versions=f"{'>=' if broke else '<'}{report.after}",
        title=f"{question.probe.title}: {question.find} at {report.after}",
        affects=(question.probe.action or "command",),
        ways_out=(f"{question.package}{'<' if broke else '>='}{report.after}",),
        source="envpin bisect",
        silent=silent,
        symptom=None if silent else _pattern(first),
        sample=None if silent else first,
        grade=grade,
        evidence=edge,
    )


def _pattern(line: str) -> str:
    """A regular expression that matches the line's first words, whatever values come after them."""
    words = re.split(r"[\d'\"{\[]", line.partition(": ")[2] or line)[0].strip()
    return re.escape(words[:80] or line[:80])
