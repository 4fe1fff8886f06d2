"""What a probe showed: the status first, as a fact; the verdict second, as a judgement about it."""

from __future__ import annotations

import re
import statistics
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal

import msgspec

from envpin.core.sizes import counted

if TYPE_CHECKING:
    from envpin.bisect.search.metric import Separation, Side
    from envpin.bisect.search.search import Outcome as Seen
    from envpin.host.verbs import ProbeReply

# Release to release, "a dictionary with with two fields" becomes "a dictionary with two fields".
_REWORDED = 0.9

Status = Literal["passed", "failed", "crashed", "timed-out", "declined", "unresolvable", "uninstallable", "skipped"]
Verdict = Literal["good", "bad", "other-fail", "untestable"]

# A frame of a traceback, or where an import looked in vain for a name.
_FRAME = re.compile(
    r"""^\s*File "(?P<path>[^"]+)", line \d+"""
    r"""|cannot import name '[^'\n]*' from '[^'\n]*' \((?P<sought>/[^)\n]+\.py)\)""",
    re.MULTILINE,
)
_ERROR_LINE = re.compile(
    r"^(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning|Failure)): ?(?P<message>.*)$"
)


class ProbeOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`declined`: the user's command said 125. `skipped`: the user said so. `text` is what `--expect` is matched on."""

    status: Status
    seconds: float = 0.0
    error_type: str | None = None
    message: str | None = None
    text: str = ""
    modules: tuple[str, ...] = ()
    details: dict[str, object] = {}

    @property
    def first_lines(self) -> str:
        """The error as a person would quote it: its type and the first lines of its message."""
        if self.error_type is None:
            return (self.message or "").strip()
        lines = [line for line in (self.message or "").strip().splitlines() if line.strip()][:4]
        return "\n".join([f"{self.error_type}: {lines[0]}", *lines[1:]]) if lines else self.error_type

    @property
    def signature(self) -> str | None:
        """What makes two failures the same one: the type, and the message without numbers, paths and quoted names."""
        if self.status in {"passed", "declined", "unresolvable", "uninstallable", "skipped"}:
            return None
        words = re.sub(r"\d+(\.\d+)*|'[^']*'|`[^`]*`|\"[^\"]*\"|/\S+", "…", (self.message or "").strip())
        return f"{self.error_type or self.status}: {words.splitlines()[0][:80] if words else ''}"


def same_failure(one: ProbeOutcome, other: ProbeOutcome) -> bool:
    """Whether two failures are the same one: equal signatures, or messages that were only reworded a little."""
    first, second = one.signature, other.signature
    if first is None or second is None or one.error_type != other.error_type:
        return first == second
    if one.error_type == METRIC:  # one end's number and another run's are told in other words
        return True
    return SequenceMatcher(None, first, second).ratio() >= _REWORDED


def judge(outcome: ProbeOutcome, expect: str | None) -> Verdict:
    """The verdict: a failure is bad, unless `expect` is given and says otherwise.

    A machine that was too slow, and a release that cannot be installed, say nothing about the release's behaviour.
    """
    match outcome.status:
        case "passed":
            return "good"
        case "failed" | "crashed":
            if expect is None or re.search(expect, outcome.text, re.MULTILINE) is not None:
                return "bad"
            return "other-fail"
        case _:
            return "untestable"


def as_seen(verdict: Verdict, *, find: Literal["broke", "fixed"]) -> Seen:
    """The verdict in the search's terms: the older end is the state before, the newer one the state after."""
    if verdict in {"other-fail", "untestable"}:
        return "untestable"
    return "before" if (verdict == "good") == (find == "broke") else "after"


def from_worker(answer: ProbeReply) -> ProbeOutcome:
    """The outcome that the `probe` worker returned."""
    error = answer.error
    if error is None:
        return ProbeOutcome(status="passed", seconds=answer.seconds, details=answer.details)
    return ProbeOutcome(
        status="failed",
        seconds=answer.seconds,
        error_type=error.type,
        message=error.message,
        text=error.traceback,
        modules=error.modules,
        details=answer.details,
    )


METRIC = "Metric"
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def last_number(text: str) -> float | None:
    """The last number on the last line that has something on it; None where that line has none."""
    line = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    found = _NUMBER.findall(line)
    return float(found[-1]) if found else None


def measured_outcome(side: Side, values: list[float], found: Separation, *, seconds: float) -> ProbeOutcome:
    """The outcome of a release whose number is clear of the limit."""
    details: dict[str, object] = {"values": values, "limit": found.limit, "noise": found.noise}
    if side == "good":
        return ProbeOutcome(status="passed", seconds=seconds, details=details)
    message = (
        f"{statistics.fmean(values):.6g} over {counted(len(values), 'run')} is past the limit of {found.limit:.6g}"
    )
    return ProbeOutcome(status="failed", seconds=seconds, error_type=METRIC, message=message, text=message,
                        details=details)  # fmt: skip


def from_command(status: int, stdout: str, stderr: str, *, seconds: float, folder: str) -> ProbeOutcome:
    """The outcome of a user's command: 0 good, 125 says that this release cannot be tested, a signal is a crash.

    `folder` is the environment's; files of its site-packages that the last traceback names become `modules`.
    """
    text = (stdout + "\n" + stderr)[-40000:]
    if status == 0:
        return ProbeOutcome(status="passed", seconds=seconds)
    if status == 125:
        return ProbeOutcome(status="declined", seconds=seconds, message=_last_line(text), text=text)
    error_type, message = _error_of(stderr) or _error_of(stdout) or (None, _last_line(text))
    modules: list[str] = []
    for frame in _FRAME.finditer(text):
        path = frame["path"] or frame["sought"]
        if path.startswith(folder) and "site-packages/" in path:
            relative = path.split("site-packages/", 1)[1]
            if relative not in modules:
                modules.append(relative)
    return ProbeOutcome(
        status="crashed" if status < 0 else "failed",
        seconds=seconds,
        error_type=error_type or (f"signal {-status}" if status < 0 else f"exit status {status}"),
        message=message,
        text=text,
        modules=tuple(modules[-40:]),
    )


def _error_of(text: str) -> tuple[str, str] | None:
    """The last line of `text` that reads like the end of a Python traceback."""
    for line in reversed(text.splitlines()):
        match = _ERROR_LINE.match(line.strip())
        if match is not None:
            return match["type"].rsplit(".", 1)[-1], match["message"]
    return None


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:400] if lines else ""
