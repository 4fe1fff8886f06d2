"""What a search shows while it runs and when it ends: a table that grows by one line a probe, then the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from envpin.bisect.report.evidence import evidence
from envpin.bisect.report.report import SCHEMA, BisectReport, make_report
from envpin.bisect.session.history import now
from envpin.cli.console.width import columns, cut, fitted
from envpin.cli.render import bisect_answer
from envpin.core.events import Note
from envpin.core.sizes import counted
from envpin.envs.machine import platform_name
from envpin.manifest.write import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpin.bisect.question import Question
    from envpin.bisect.search.search import Problem
    from envpin.bisect.session.session import SearchSession
    from envpin.cli.console.console import Console
    from envpin.core.events import Event

_HEAD = f"{'':>3}  {'release':14}  {'date':10}  {'verdict':10}  {'seconds':>7}  {'left':>4}  what it said"
_PURPOSES = {"end": "an end", "edge": "again", "repeat": "again", "sample": "a sample", "noise": "noisy"}


class BisectView:
    """Draws one search. Finished probes are plain lines on stderr, so that they stay; the running one is live."""

    def __init__(self, console: Console, question: Question) -> None:
        self._console = console
        self._question = question
        self._draw = console.listener()
        self._problem: Problem | None = None
        self._rows = 0
        self._said: dict[str, str] = {}

    def listener(self, event: Event) -> None:
        # The table says what other listeners would be told step by step.
        if isinstance(event, Note) or self._console.interactive:
            self._draw(event)

    def begin(self, session: SearchSession, problem: Problem) -> None:
        """Print the heading, and the probes that an earlier run had finished."""
        self._problem = problem
        talk, question, axis = self._console.talk, self._question, session.axis
        talk(f"{question.package}: {counted(len(axis.candidates), 'release')} from {question.old} to {question.new}; "
             f"{question.good} is to be good, {question.bad} bad")  # fmt: skip
        talk(f"probe: {question.probe.title}; held: {', '.join(question.requirements) or 'nothing'}")
        heavy = sorted(range(1, problem.size), key=lambda index: -problem.prior[index])[:3]
        share = sum(problem.prior[1:])
        told = [index for index in heavy if axis.versions[index] in session.setup.get("reasons", {})]
        for index in told:
            if problem.prior[index] / share > 0.1:
                talk(f"the wheels hint at {axis.versions[index]}: {session.setup['reasons'][axis.versions[index]]}")
        done = [record for record in session.log.records if record["event"] in {"probe", "skip"}]
        if done:
            talk(f"going on with a search that has {counted(len(done), 'finished probe')}: {session.log.path}")
        talk("")
        talk(_HEAD)
        for record in done:
            self._row(record, session)

    def on_record(self, record: Mapping[str, object], session: SearchSession) -> None:
        if record["event"] in {"probe", "skip"}:
            self._row(record, session)

    def _row(self, record: Mapping[str, Any], session: SearchSession) -> None:
        self._rows += 1
        version = record["version"]
        date = next((one.uploaded for one in session.axis.candidates if one.version == version), None)
        outcome = record.get("outcome", {"status": "skipped", "message": record.get("reason")})
        said = [_PURPOSES.get(record.get("purpose", ""), ""), "known" if record.get("source") == "cache" else ""]
        verdict = record.get("verdict", "skipped")
        if {verdict, self._said.setdefault(version, verdict)} == {"good", "bad"}:
            said.append("flaky: it had answered differently;")
        if outcome["status"] != "passed":
            name = outcome.get("error_type")
            message = " ".join((outcome.get("message") or "").split())
            said.append(f"{name}: {message}" if name else f"{outcome['status']}: {message}")
        if record.get("moves"):
            said.append(f"(moved: {', '.join(record['moves'])})")
        line = (
            f"{self._rows:>3}  {version:14}  {(date or '')[:10]:10}  {verdict:10}  "
            f"{record.get('seconds', 0.0):>7.1f}  {self._left(session):>4}  {' '.join(filter(None, said))}"
        )
        self._console.talk(clipped(line, self._console))

    def _left(self, session: SearchSession) -> str:
        """How many releases may still be the one, after all that is known now."""
        if self._problem is None:
            return ""
        seen = session.observations()
        before = max((one.index for one in seen if one.outcome == "before"), default=0)
        after = min((one.index for one in seen if one.outcome == "after" and one.index > before),
                    default=self._problem.size - 1)  # fmt: skip
        return str(after - before)

    def finish(self, session: SearchSession, *, html: Path | None = None) -> int:
        """Print the answer; write the issue text, the evidence and the page beside the log."""
        report = make_report(session.log.records, session.axis)
        if report is None:
            return 1
        files = write_files(report, session.folder, html)
        self._console.close()
        if self._console.json_mode:
            self._console.document(SCHEMA, {**document(report), "files": files})
        else:
            self._console.talk("")
            self._console.data(fitted(bisect_answer.text(report).splitlines(), indent=14))
            self._console.talk("")
            for name, path in files.items():
                self._console.talk(f"{name:9} {path}")
        return exit_status(report)


def clipped(line: str, console: Console) -> str:
    """A row of a table that fits the terminal: one that wraps is no table any more."""
    return cut(line, max(60, columns() or 80) if console.interactive else 200)


def exit_status(report: BisectReport) -> int:
    return 0 if report.answer in {"named", "range"} else 1


def document(report: BisectReport) -> dict[str, object]:
    """The body of the `--json` document."""
    body: dict[str, object] = msgspec.to_builtins(report)
    return {"headline": bisect_answer.headline(report), **body, "warnings": bisect_answer.warnings(report)}


def write_files(report: BisectReport, folder: Path, html: Path | None) -> dict[str, str]:
    """Write what can be taken elsewhere; an issue text only where there is something to report. Kind to path.

    Raises:
        DiskFullError, InputError: it cannot be written; the log has it all.
    """
    from envpin.report.bisect_page import render

    files = {"log": folder / "log.jsonl", "issue": folder / "issue.md", "evidence": folder / "evidence.json",
             "page": html or folder / "report.html"}  # fmt: skip
    found_out = evidence(report, platform=platform_name(), today=now()[:10])
    issue = bisect_answer.issue(report) if report.first_bad else ""
    if issue:
        write_text(files["issue"], issue)
    else:
        files.pop("issue").unlink(missing_ok=True)
    write_text(files["evidence"], msgspec.json.format(msgspec.json.encode(found_out).decode(), indent=2) + "\n")
    write_text(files["page"], render(document(report), headline=bisect_answer.headline(report), issue=issue))
    return {kind: str(path) for kind, path in files.items()}
