"""Findings in the formats that CI systems read: SARIF 2.1.0, workflow commands of GitHub, JUnit XML.

What was not compared is never a pass: `open` in SARIF, `skipped` in JUnit, a notice for GitHub.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from envpin.core.files import digest, read_bounded
from envpin.core.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Format = Literal["sarif", "github", "junit"]
NOT_COMPARED = "not-compared"
UNREADABLE = "unreadable"
_SARIF_LEVEL = {"blocker": "error", "warning": "warning", "info": "note"}
_GITHUB_LEVEL = {"blocker": "error", "warning": "warning", "info": "notice"}
_CONFIGS = ("adapter_config.json", "config.json")
_LARGEST = 1 << 20  # bytes of a JSON file that is searched for a line; configs have some KB
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What was looked at: a folder or a lock, as it was named, and what was found there.

    `problem` says why it could not be read, `not_compared` what was left open.
    """

    path: str
    findings: tuple[Finding, ...] = ()
    problem: str | None = None
    not_compared: str | None = None

    @property
    def failures(self) -> list[Finding]:
        return [one for one in self.all_findings if one.severity == "blocker"]

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        if self.problem is None:
            return self.findings
        return (Finding(code=UNREADABLE, severity="blocker", message=self.problem), *self.findings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """Where a finding is shown: a file, relative to `root` where it lies below it, and a line from 1."""

    file: str
    line: int


def render(subjects: Sequence[Subject], form: Format, *, command: str, version: str, root: Path) -> str:
    """All of `subjects` in that format. `root` is the folder that files are named from: that of the repository."""
    if form == "sarif":
        return json.dumps(sarif(subjects, version=version, root=root), indent=2, ensure_ascii=False)
    if form == "github":
        return "\n".join(github(subjects, root=root))
    return junit(subjects, command=command)


def sarif(subjects: Sequence[Subject], *, version: str, root: Path) -> dict[str, Any]:
    """A SARIF 2.1.0 log with one run, as GitHub's code scanning takes it."""
    results = []
    for subject in subjects:
        for finding in subject.all_findings:
            anchor = anchor_of(subject, finding, root)
            results.append(_result(finding.code, _text(finding), anchor, level=_SARIF_LEVEL[finding.severity]))
        if subject.not_compared is not None:
            # "insufficient information to decide" (SARIF 2.1.0, 3.27.9); such a result has no level.
            text = f"not compared: {subject.not_compared}"
            results.append(_result(NOT_COMPARED, text, anchor_of(subject, None, root), level="none", kind="open"))
    rules = [{"id": code} for code in sorted({one["ruleId"] for one in results})]
    driver = {"name": "envpin", "version": version, "rules": rules}
    return {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _result(code: str, text: str, anchor: Anchor, *, level: str, kind: str = "fail") -> dict[str, Any]:
    place = {"artifactLocation": {"uri": quote(anchor.file)}, "region": {"startLine": anchor.line}}
    same = digest(f"{code}\0{anchor.file}\0{text}")[:32]
    return {
        "ruleId": code,
        "kind": kind,
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"envpin/v1": same},
    }


def github(subjects: Sequence[Subject], *, root: Path) -> Iterator[str]:
    """Workflow commands, one line for each finding, and for each subject that was not compared."""
    for subject in subjects:
        for finding in subject.all_findings:
            anchor = anchor_of(subject, finding, root)
            yield _command(_GITHUB_LEVEL[finding.severity], anchor, finding.code, _text(finding))
        if subject.not_compared is not None:
            text = f"{subject.path}: not compared: {subject.not_compared}"
            yield _command("notice", anchor_of(subject, None, root), NOT_COMPARED, text)


def _command(level: str, anchor: Anchor, code: str, text: str) -> str:
    file, title = (_escaped(one).replace(":", "%3A").replace(",", "%2C") for one in (anchor.file, f"envpin {code}"))
    return f"::{level} file={file},line={anchor.line},title={title}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def junit(subjects: Sequence[Subject], *, command: str) -> str:
    """JUnit XML: a test case for each subject."""
    failed = sum(1 for one in subjects if one.failures)
    skipped = sum(1 for one in subjects if not one.failures and one.not_compared is not None)
    counts = f'tests="{len(subjects)}" failures="{failed}" skipped="{skipped}" errors="0"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    lines.append(f"  <testsuite name={_attribute(f'envpin {command}')} {counts}>")
    for subject in subjects:
        lines.append(f"    <testcase classname={_attribute(f'envpin.{command}')} name={_attribute(subject.path)}>")
        for one in subject.failures:
            body = escape(_NO_XML.sub("�", _text(one)))
            lines.append(
                f"      <failure type={_attribute(one.code)} message={_attribute(one.message)}>{body}</failure>"
            )
        if not subject.failures and subject.not_compared is not None:
            lines.append(f"      <skipped message={_attribute(f'not compared: {subject.not_compared}')}/>")
        rest = [_text(one) for one in subject.findings if one.severity != "blocker"]
        if rest:
            lines.append(f"      <system-out>{escape(_NO_XML.sub('�', chr(10).join(rest)))}</system-out>")
        lines.append("    </testcase>")
    return "\n".join([*lines, "  </testsuite>", "</testsuites>"])


def _attribute(text: str) -> str:
    return quoteattr(_NO_XML.sub("�", text))


def _text(finding: Finding) -> str:
    """The message, what was seen, and the first fix."""
    lines = [finding.message]
    for seen in finding.evidence[:5]:
        parts = [seen.file, seen.tensor, seen.found and f"found {seen.found}",
                 seen.expected and f"expected {seen.expected}", seen.note]  # fmt: skip
        lines.append(": ".join(part for part in parts if part))
    if len(finding.evidence) > 5:
        lines.append(f"and {len(finding.evidence) - 5} more")
    lines += [f"fix: {step}" for step in finding.fix[:1]]
    return "\n".join(lines)


def anchor_of(subject: Subject, finding: Finding | None, root: Path) -> Anchor:
    """The line of the adapter's config that a finding is about; the weights have no lines to show it on.

    Evidence with a file and a line is taken as it is; else the first line whose key the finding names; else line 1.
    """
    folder = Path(subject.path)
    if not folder.is_dir():
        return Anchor(file=_relative(folder, root), line=1)
    for seen in finding.evidence if finding is not None else ():
        if seen.file is not None and seen.line is not None and (folder / seen.file).is_file():
            return Anchor(file=_relative(folder / seen.file, root), line=seen.line)
    named = [seen.file for seen in finding.evidence if seen.file] if finding is not None else []
    texts = [one for one in named if one.endswith(".json") and (folder / one).is_file()]
    files = [*texts, *(one for one in _CONFIGS if (folder / one).is_file()), *named]
    if not files:
        return Anchor(file=_relative(folder, root), line=1)
    file = folder / files[0]
    return Anchor(file=_relative(file, root), line=_line(file, "" if finding is None else _text(finding)))


def _line(file: Path, said: str) -> int:
    try:
        if file.suffix != ".json":
            return 1
        text = read_bounded(file, _LARGEST).decode("utf-8", "replace")
    except OSError:
        return 1
    for at, line in enumerate(text.splitlines(), start=1):
        key = re.match(r'\s*"([\w.-]+)"\s*:', line)
        if key is not None and re.search(rf"(?<![\w.]){re.escape(key[1])}(?![\w.])", said):
            return at
    return 1


def _relative(path: Path, root: Path) -> str:
    absolute = path.absolute()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else absolute.as_posix()
