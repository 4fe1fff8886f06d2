"""What a finished search has to say, as data: read from its log, so that it can be said again at any time."""

from __future__ import annotations

import csv
import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from envpin.bisect.question import Question
from envpin.bisect.session.outcome import ProbeOutcome, same_failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envpin.bisect.search.axis import Axis

SCHEMA = 1


class FileChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file of the package that differs between the last release of the old state and the first of the new one.
    `touches` says that the failure's traceback passes through it, or that it is the family's own code."""

    path: str
    kind: str
    added: int = 0
    removed: int = 0
    touches: bool = False


class ProbeRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    version: str
    uploaded: str | None
    purpose: str
    verdict: str
    status: str
    seconds: float
    source: str
    error: str = ""
    moves: tuple[str, ...] = ()
    lock: str | None = None
    day: str | None = None


class BisectReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`before` and `after` are the releases at the edge: the last one in the old state, the first one in the new.

    `answer` is `named`, `range`, `end-wrong`, `end-untestable` or `undecided` (see `search.Conclusion`).
    """

    question: Question
    answer: str
    certain: bool
    probability: float
    noisy: bool
    before: str
    after: str
    last_good: str | None
    first_bad: str | None
    rows: tuple[ProbeRow, ...]
    probes: int
    narrowing: int
    reruns: int
    halving: int
    seconds: float
    untestable: tuple[str, ...] = ()
    error: str = ""
    traceback: str = ""
    same_failure: bool = True
    moved: tuple[str, ...] = ()
    changed_files: tuple[FileChange, ...] = ()
    others: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    back_ports: tuple[str, ...] = ()
    reason: str | None = None
    pin: str | None = None


def make_report(records: Sequence[Mapping[str, Any]], axis: Axis) -> BisectReport | None:
    """The report of a log; None where it has no conclusion yet."""
    conclusion = next((record for record in reversed(records) if record["event"] == "conclusion"), None)
    if conclusion is None:
        return None
    question = msgspec.convert(records[0]["question"], Question)
    versions = axis.versions
    before, after = versions[conclusion["low"]], versions[conclusion["high"]]
    broke = question.find == "broke"
    good, bad = (before, after) if broke else (after, before)
    found = conclusion["kind"] in {"named", "range"}
    probes = [record for record in records if record["event"] == "probe"]
    ends = conclusion["kind"] in {"end-wrong", "end-untestable"}
    # Without a change to show, the failure is that of the end which is not what it was said to be.
    failing = _failure_at(probes, bad if found else before if ends else question.bad)
    last = _failure_at(probes, question.bad)
    rows = tuple(_row(record, axis) for record in probes)
    return BisectReport(
        question=question,
        answer=conclusion["kind"],
        certain=conclusion["certain"],
        probability=conclusion["probability"],
        noisy=conclusion["noisy"],
        before=before,
        after=after,
        last_good=good if found else None,
        first_bad=bad if found else None,
        rows=rows,
        probes=len(rows),
        narrowing=sum(row.purpose == "narrow" and row.status != "unresolvable" for row in rows),
        reruns=sum(row.purpose in {"edge", "sample", "repeat", "noise"} for row in rows),
        halving=max(1, (len(versions) - 2).bit_length()),
        seconds=round(sum(row.seconds for row in rows), 1),
        untestable=_untestable(
            records,
            [before]
            if conclusion["kind"] == "end-untestable"
            else versions[conclusion["low"] + 1 : conclusion["high"]],
        ),
        error=failing.first_lines if failing else "",
        traceback=failing.text if failing else "",
        same_failure=not found or failing is None or last is None or same_failure(failing, last),
        moved=_moved(probes, before, after),
        changed_files=_changed_files(probes, question, before, after, _relevant(records, failing)) if found else (),
        others=tuple(
            f"{versions[other['low']]} → {versions[other['high']]}"
            f" ({'good' if (other['to'] == 'before') == broke else 'bad'} from there)"
            for other in conclusion["others"]
        ),
        flaky=_flaky(rows),
        back_ports=tuple(version for version in axis.out_of_date_order() if version in versions),
        reason=_reason(records, after) if found else None,
        pin=f"{question.package}=={good}" if found else None,
    )


def _row(record: Mapping[str, Any], axis: Axis) -> ProbeRow:
    outcome = msgspec.convert(record["outcome"], ProbeOutcome)
    uploaded = next((one.uploaded for one in axis.candidates if one.version == record["version"]), None)
    return ProbeRow(
        version=record["version"],
        uploaded=uploaded[:10] if uploaded else None,
        purpose=record["purpose"],
        verdict=record["verdict"],
        status=outcome.status,
        seconds=record["seconds"],
        source=record["source"],
        error=outcome.first_lines.splitlines()[0] if outcome.status != "passed" and outcome.first_lines else "",
        moves=tuple(record.get("moves", ())),
        lock=record.get("lock"),
        day=record["at"][:10] if "at" in record else None,
    )


def _flaky(rows: Sequence[ProbeRow]) -> tuple[str, ...]:
    """Releases that were good once and bad once."""
    seen: dict[str, set[str]] = {}
    for row in rows:
        seen.setdefault(row.version, set()).add(row.verdict)
    return tuple(version for version, verdicts in seen.items() if {"good", "bad"} <= verdicts)


def _failure_at(probes: Sequence[Mapping[str, Any]], version: str) -> ProbeOutcome | None:
    for record in probes:
        if record["version"] == version and record["outcome"]["status"] in {"failed", "crashed"}:
            return msgspec.convert(record["outcome"], ProbeOutcome)
    return None


def _untestable(records: Sequence[Mapping[str, Any]], between: Sequence[str]) -> tuple[str, ...]:
    """The releases of a range, each with why it could not be tested."""
    why: dict[str, str] = {}
    for record in records:
        if record["event"] == "skip":
            why[record["version"]] = record["reason"]
        elif record["event"] == "probe" and record["verdict"] in {"other-fail", "untestable"}:
            outcome = msgspec.convert(record["outcome"], ProbeOutcome)
            text = outcome.first_lines.splitlines()
            why[record["version"]] = f"{outcome.status}: {text[0][:120]}" if text else outcome.status
    return tuple(f"{version}: {why.get(version, 'not tried')}" for version in between)


def _moved(probes: Sequence[Mapping[str, Any]], before: str, after: str) -> tuple[str, ...]:
    """What else is different between the environments on both sides of the edge."""

    def of(version: str) -> dict[str, str]:
        moves = next((record.get("moves", ()) for record in probes if record["version"] == version), ())
        return dict(move.split(" ", 1) for move in moves)

    old, new = of(before), of(after)
    found = []
    for package in sorted({*old, *new}):
        if old.get(package) != new.get(package):
            left = old.get(package, new.get(package, "")).split(" → ")
            right = new.get(package, old.get(package, "")).split(" → ")
            start = left[1] if package in old else right[0]
            end = right[1] if package in new else left[0]
            found.append(f"{package} {start} → {end}")
    return tuple(found)


def _reason(records: Sequence[Mapping[str, Any]], version: str) -> str | None:
    """What the wheels said about the release, where they said something."""
    setup = next((record for record in records if record["event"] == "setup"), None)
    return setup["reasons"].get(version) if setup else None


def _relevant(records: Sequence[Mapping[str, Any]], failing: ProbeOutcome | None) -> tuple[str, ...]:
    """The files that the failure's traceback passes through, and the folder of the family's own code."""
    setup = next((record for record in records if record["event"] == "setup"), {})
    model_type = setup.get("model_type")
    own = (f"transformers/models/{model_type}/",) if model_type else ()
    return (*(failing.modules if failing else ()), *own)


def _changed_files(
    probes: Sequence[Mapping[str, Any]], question: Question, before: str, after: str, relevant: tuple[str, ...]
) -> tuple[FileChange, ...]:
    """Compare the package's installed files on both sides; the relevant ones (a file, or a folder) come first."""
    folders = [
        next(
            (record["environment"] for record in probes if record["version"] == version and "environment" in record), ""
        )
        for version in (before, after)
    ]
    old, new = (_recorded(Path(folder), question.package) for folder in folders)
    if not old or not new:
        return ()
    changes = []
    for path in sorted({*old, *new}):
        if old.get(path, ("",))[0] == new.get(path, ("",))[0] or not path.endswith((".py", ".pyi", ".json")):
            continue
        kind = "changed" if path in old and path in new else "added" if path in new else "removed"
        touches = any(path == one or (one.endswith("/") and path.startswith(one)) for one in relevant)
        added, removed = _line_counts(old.get(path), new.get(path)) if touches else (0, 0)
        changes.append(FileChange(path=path, kind=kind, added=added, removed=removed, touches=touches))
    return tuple(sorted(changes, key=lambda change: (not change.touches, change.path)))


def _recorded(environment: Path, package: str) -> dict[str, tuple[str, Path]]:
    """Path in site-packages to its recorded hash and its place, for the files of one distribution."""
    if not str(environment).strip(".") or not environment.is_dir():
        return {}
    stem = package.replace("-", "_")
    for record in environment.glob(f"lib/python*/site-packages/{stem}-*.dist-info/RECORD"):
        root = record.parent.parent
        with record.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.reader(stream) if len(row) >= 2]
        return {row[0]: (row[1], root / row[0]) for row in rows if ".dist-info/" not in row[0] and ".." not in row[0]}
    return {}


def _line_counts(old: tuple[str, Path] | None, new: tuple[str, Path] | None) -> tuple[int, int]:
    def lines(one: tuple[str, Path] | None) -> list[str]:
        try:
            return one[1].read_text(encoding="utf-8", errors="replace").splitlines() if one else []
        except OSError:
            return []

    delta = list(difflib.unified_diff(lines(old), lines(new), lineterm="", n=0))[2:]
    return sum(line.startswith("+") for line in delta), sum(line.startswith("-") for line in delta)
