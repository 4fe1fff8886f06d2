"""`envpin scan DIR`: every model, adapter and checkpoint below a folder. Nothing is written but the page asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.cli.console.formats import add_format, answer, is_for_ci
from envpin.core.command_text import command_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from envpin.cli.console.console import Console
    from envpin.core.findings import Severity
    from envpin.report.annotations import Subject
    from envpin.scan.entry import ScanEntry, Scanned

takes_child = False
_ROWS = 40
_FOLDED = 3  # two lines that say the same are read faster than one that counts
_CODES = 3
_MARKS: dict[Severity, str] = {"blocker": "✗", "warning": "!"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder to look through")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page of it, in one file")
    parser.add_argument("--all", action="store_true", help=f"list every folder, not only the {_ROWS} worst")
    parser.add_argument(
        "--follow-links", action="store_true", help="enter linked folders too (never one twice, so loops end)"
    )
    parser.add_argument(
        "--no-infer", action="store_true", help="leave versions open that were not recorded; takes half of the time"
    )
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="processes to use (default: one a core)")
    parser.add_argument(
        "--require-record", action="store_true", help="an adapter without a readable envpin.json is a blocker"
    )
    parser.add_argument(
        "--require-base", action="store_true", help="end with 6 where an adapter was not compared with its base"
    )
    add_format(parser)
    parser.epilog = (
        "The network is never asked: bases are looked for on this machine. Exit status 1: at least one cannot be read, "
        "loaded or merged as it is. An adapter whose base is not on this machine is `not compared`: exit status 0, as "
        "that is no fault, or 6 with `--require-base`."
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Exit status 0: no blocker in what was looked at (`not_compared` counts what was not). 1: at least one blocker, or
    one that cannot be read. 6, if bases are required: neither, and at least one was not compared."""
    from envpin.core.errors import NOT_COMPARED, UsageError
    from envpin.envs.store.store import Store
    from envpin.scan.run import scan

    for_ci = is_for_ci(args)
    if args.jobs is not None and args.jobs < 1:
        raise UsageError("--jobs takes a number of at least 1")
    if args.html is not None:
        _check_page(args.html)
    scanned = scan(
        args.folder,
        store=Store(),
        follow_links=args.follow_links,
        jobs=args.jobs,
        infers=not args.no_infer,
        listener=console.listener(),
    )
    console.close()
    if args.require_record:
        scanned = _with_unrecorded(scanned)
    if args.html is not None:
        _write_page(args.html, scanned)
        console.talk(f"wrote {args.html}")
    if for_ci:
        answer(_subjects(scanned), args, console)
    elif console.json_mode:
        console.document(1, document_of(scanned))
    else:
        console.data(_text(scanned, every=args.all))
    if scanned.bad:
        return 1
    return NOT_COMPARED if args.require_base and scanned.not_compared else 0


def _with_unrecorded(scanned: Scanned) -> Scanned:
    """The same, with a blocker for each adapter that nobody recorded."""
    from msgspec.structs import replace

    from envpin.core.findings import Finding

    entries = []
    for one in scanned.entries:
        if one.kind in {"adapter", "both"} and one.record != "recorded":
            folder = Path(scanned.root) / one.path
            missing = Finding(
                code="not-recorded",
                severity="blocker",
                message="the adapter has no readable envpin.json",
                fix=("envpin record -- CMD", command_text("envpin", "record", "--attach", folder)),
            )
            entries.append(replace(one, findings=(missing, *one.findings)))
        else:
            entries.append(one)
    return replace(scanned, entries=tuple(sorted(entries, key=lambda one: one.sort_key)))


def _subjects(scanned: Scanned) -> list[Subject]:
    from envpin.report.annotations import Subject

    root = Path(scanned.root)
    subjects = [
        Subject(path=str(root / one.path), findings=one.findings, problem=one.problem, not_compared=one.not_compared)
        for one in scanned.entries
    ]
    closed = scanned.unreadable.items()
    return subjects + [Subject(path=str(root / path), not_compared=f"not readable: {why}") for path, why in closed]


def _check_page(path: Path) -> None:
    """Now, and not after minutes of scanning."""
    from envpin.cli.console.page_file import refuse_other_file
    from envpin.core.errors import InputError

    if path.is_dir():
        raise InputError(f"`{path}` is a folder", path=path, hint="name a file: `--html scan.html`")
    if not path.absolute().parent.is_dir():
        raise InputError(f"`{path.absolute().parent}` does not exist, so `{path}` cannot be written", path=path)
    refuse_other_file(path, mark="envpin scan", option="--html")


def _write_page(path: Path, scanned: Scanned) -> None:
    from envpin.manifest.write import write_text
    from envpin.report.scan_page import render

    write_text(path.absolute(), render(document_of(scanned)))


def document_of(scanned: Scanned) -> dict[str, object]:
    """What `--json` prints."""
    import msgspec

    from envpin.scan.entry import count_findings

    document: dict[str, object] = msgspec.to_builtins(scanned)
    document["counts"] = {
        "entries": len(scanned.entries),
        "bad": scanned.bad,
        "not_compared": scanned.not_compared,
        "kinds": _tally(entry.kind for entry in scanned.entries),
        "trainers": _tally(entry.trainer or "unknown" for entry in scanned.entries),
        "records": _tally(entry.record for entry in scanned.entries),
        "environments": _tally(entry.environment for entry in scanned.entries),
        "findings": [
            {"severity": severity, "code": code, "entries": count}
            for severity, code, count in count_findings(scanned.entries)
        ],
    }
    return document


def _tally(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _text(scanned: Scanned, *, every: bool) -> str:
    from envpin.cli.console.findings import render_table
    from envpin.cli.console.width import fitted
    from envpin.scan.entry import count_findings

    lines = [fitted([_headline(scanned)], indent=4)]
    groups = [[entry] for entry in scanned.entries] if every else _folded(scanned.entries)
    shown = groups if every else groups[:_ROWS]
    if shown:
        head = ("folder", "what", "trainer", "base", "record", "environment", "findings")
        lines += ["", render_table(head, [_row_of(group) for group in shown])]
    hidden = sum(len(group) for group in groups[len(shown) :])
    if hidden:
        lines.append(f"… and {hidden:,} more (--all shows them)")
    counts = count_findings(scanned.entries)
    if counts:
        rows = [(severity, code, f"{count:,}") for severity, code, count in counts]
        lines += ["", render_table(("severity", "finding", "folders"), rows)]
    lines += ["", *_tail(scanned)] if scanned.unreadable or scanned.links or scanned.bad else []
    return "\n".join(lines)


def _headline(scanned: Scanned) -> str:
    from envpin.core.sizes import counted

    count = len(scanned.entries)
    if not count:
        return f"{scanned.root}: no model, adapter or checkpoint in {counted(scanned.folders, 'folder')}"
    adapters = sum(1 for entry in scanned.entries if entry.kind in {"adapter", "both"})
    open_ones = f"{scanned.not_compared:,} not compared with a base" if scanned.not_compared else ""
    bad = f"{scanned.bad:,} cannot be read or merged as they are" if scanned.bad else ""
    said = ", ".join(filter(None, (bad, open_ones))) or "nothing stands in the way"
    where = counted(scanned.folders, "folder")
    return f"{scanned.root}: {count:,} found ({counted(adapters, 'adapter')}) in {where}; {said}"


def _folded(entries: tuple[ScanEntry, ...]) -> list[list[ScanEntry]]:
    """Neighbours of one folder that say the same, as the checkpoints of a run do, together; in the order of the first.

    Fewer than `_FOLDED` stay as they are.
    """
    groups: dict[tuple[str, ...], list[ScanEntry]] = {}
    for entry in entries:
        same = (entry.path.rpartition("/")[0], "" if entry.step is None else "step", *_row(entry)[2:])
        groups.setdefault(same, []).append(entry)
    return [part for group in groups.values()
            for part in ([group] if len(group) >= _FOLDED else [[one] for one in group])]  # fmt: skip


def _row_of(group: list[ScanEntry]) -> tuple[str, ...]:
    first, *cells = _row(group[0])
    if len(group) == 1:
        return (first, *cells)
    steps = [entry.step for entry in group if entry.step is not None]
    what = _what(group[0]).partition(",")[0]
    span = f", steps {min(steps)} to {max(steps)}" if steps else ""
    return (f"{first} and {len(group) - 1:,} more", f"{len(group):,} × {what}{span}", *cells[1:])


def _row(entry: ScanEntry) -> tuple[str, ...]:
    return (entry.path, _what(entry), _trainer(entry), _base(entry), _record(entry), _environment(entry),
            _findings(entry))  # fmt: skip


def _what(entry: ScanEntry) -> str:
    kind = {"both": "adapter in a model", "unknown": "?"}.get(entry.kind, entry.kind)
    return f"{kind}, step {entry.step}" if entry.step is not None else kind


def _trainer(entry: ScanEntry) -> str:
    return " ".join(part for part in (entry.trainer_title, entry.trainer_version) if part) or "?"


def _base(entry: ScanEntry) -> str:
    if entry.base is None:
        return "–"
    named = entry.base.id or entry.base.named or "not named"
    short = named if len(named) <= 40 else f"…{named[-39:]}"
    return short if entry.base.found is not None else f"{short} (not found)"


def _record(entry: ScanEntry) -> str:
    words = {"none": "no", "damaged": "damaged", "merge": "merged by envpin"}
    versions = " ".join(f"{name} {entry.versions[name]}" for name in ("transformers", "peft") if name in entry.versions)
    return words.get(entry.record) or f"{entry.record}: {versions}".rstrip(": ")


def _environment(entry: ScanEntry) -> str:
    return {"ready": "ready", "missing": "not built", "unknown": "?", "none": "–"}[entry.environment]


def _findings(entry: ScanEntry) -> str:
    if entry.problem is not None:
        return f"✗ {entry.problem}"
    unknown = f"not compared: {entry.not_compared}" if entry.not_compared is not None else ""
    # That there is no base is said once.
    echo = "base-not-found" if unknown else None
    serious = [one for one in entry.findings if one.severity != "info" and one.code != echo]
    if not serious:
        return unknown or "none"
    tally = Counter(one.severity for one in serious)
    counts = [f"{tally[severity]} {mark}" for severity, mark in _MARKS.items() if tally[severity]]
    codes = list(dict.fromkeys(one.code for one in serious))
    more = f" +{len(codes) - _CODES}" if len(codes) > _CODES else ""
    said = f"{' '.join(counts)} {', '.join(codes[:_CODES])}{more}"
    return f"{said}; {unknown}" if unknown else said


def _tail(scanned: Scanned) -> list[str]:
    from envpin.core.sizes import counted

    lines = [f"not readable: {path}: {reason}" for path, reason in list(scanned.unreadable.items())[:5]]
    if len(scanned.unreadable) > 5:
        lines.append(f"not readable: {counted(len(scanned.unreadable) - 5, 'more folder')}")
    if scanned.links:
        lines.append(f"{counted(len(scanned.links), 'linked folder')} left alone (--follow-links enters them)")
    worst = next((entry for entry in scanned.entries if entry.is_bad), None)
    if worst is not None:
        lines.append(f"more about one of them: {command_text('envpin', 'check', Path(scanned.root) / worst.path)}")
    return lines
