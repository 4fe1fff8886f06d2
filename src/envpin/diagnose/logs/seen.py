"""What one code has shown in a log: its lines, by the words that are said of them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from envpin.core.findings import SEVERITY_ORDER, Evidence
from envpin.core.sizes import counted
from envpin.diagnose.catalogue.catalogue import finding, load_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.logs.signatures.signature import Signature

# An error that nothing caught, and how many lines may follow it: what the message goes on with, progress bars, a shell.
_RAISED = re.compile(r"\s*(?:\[rank\d+\]: ?)?(?:[\w.]+\.)?\w*(?:Error|Exception)\b")
_LAST = 12


@dataclass
class Seen:
    """What one code has shown so far, in the same words."""

    severity: Severity
    lines: list[tuple[int, str]] = field(default_factory=list)
    count: int = 0
    says: str | None = None
    fix: tuple[str, ...] = ()
    # what reads the lines around for more than these words
    around: str | None = None
    of_the_hub: bool = False
    # what stands around the first of the lines
    near: bytes = b""
    wraps: bool = False
    # only where another line shows that the log is of this field
    in_field: bool = False
    # said by likeness to known errors, not by a rule
    guess: bool = False

    # the number of the last of the lines
    last: int = 0

    def raise_to(self, severity: Severity) -> None:
        if SEVERITY_ORDER[severity] < SEVERITY_ORDER[self.severity]:
            self.severity = severity


def without_the_hub(every: Iterable[Seen], stopped_at: int) -> None:
    """Let what is said of the Hub come last, and say so, where the run was stopped later, at line `stopped_at`, by
    something else."""
    for seen in every:
        if seen.of_the_hub and seen.last < stopped_at:
            seen.severity = "info"
            seen.says = f"{seen.says}; this run did not stop there, but at line {stopped_at}"


def raise_what_ended_it(every: Iterable[Seen], lines: int) -> None:
    """Let what only warns elsewhere be a blocker where it is the error with which a log of so many lines ends, and no
    other blocker is known."""
    known = list(every)
    if any(seen.severity == "blocker" for seen in known):
        return
    for seen in known:
        raised = any(_RAISED.match(text) is not None for _, text in seen.lines)
        if seen.severity == "warning" and not seen.guess and raised and seen.last > lines - _LAST:
            seen.severity = "blocker"


def order_in_log(one: Finding) -> tuple[int, int]:
    """Blockers first, then as the log has them: what is first is more often the cause of the rest."""
    return SEVERITY_ORDER[one.severity], one.evidence[0].line or 0


def leaves(some: dict[str, Seen], kept: str, signature: Signature, number: int) -> bool:
    """Whether a line leaves those of which nothing is said: a signature of the same code has words for it."""
    seen = some[kept]
    if kept or seen.says is not None or signature.says is None or (seen.count == 1 and signature.says not in some):
        return False
    seen.count -= 1
    seen.lines = [one for one in seen.lines if one[0] != number]
    if seen.count == 0:
        del some[kept]
    return True


def same_line(seen: Seen, signature: Signature, severity: Severity) -> None:
    """Another signature of the same code knows a line: its own words are more than none, or than what passes on."""
    sure = seen.in_field and not signature.in_field
    seen.in_field = seen.in_field and signature.in_field
    less = seen.says is None or sure or (seen.wraps and not signature.wraps)
    if less and seen.count == 1 and signature.says is not None:
        seen.says, seen.fix, seen.wraps = signature.says, signature.fix, signature.wraps
        seen.around, seen.of_the_hub = signature.around, signature.of_the_hub
    seen.raise_to(severity)


def without_wraps(some: Mapping[str, Seen]) -> list[Seen]:
    """Without what only passes on what another line says, and without the same words twice."""
    own = [seen for seen in some.values() if not seen.wraps]
    for seen in some.values():
        if own and seen.wraps:
            own[0].raise_to(seen.severity)
    return list({seen.says: seen for seen in reversed(own or list(some.values()))}.values())[::-1]


def finding_of(code: str, seen: Seen) -> Finding:
    evidence = [Evidence(line=number, note=line) for number, line in sorted(seen.lines)]
    more = f" ({counted(seen.count, 'line')})" if seen.count > 1 else ""
    text = seen.says or load_catalogue()[code].meaning.partition(". ")[0].rstrip(".")
    text = _with_release(code, text, seen)
    return finding(code, text + more, evidence, severity=seen.severity, fix=seen.fix or None)


def _with_release(code: str, text: str, seen: Seen) -> str:
    from envpin.diagnose.logs.facts.releases import with_release

    return with_release(code, text, seen.fix, seen.near.decode("utf-8", "replace"))
