"""`envpin diff A B`: what differs between two adapters, models, manifests or locks, and where two runs parted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.diagnose.fold import FoldedChange
    from envpin.replay.training.compare import RunComparison

takes_child = False
_ROWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="BEFORE", type=Path, help="a folder, an envpin.json or a pylock*.toml")
    parser.add_argument("after", metavar="AFTER", type=Path, help="the other one")
    parser.add_argument(
        "--all", action="store_true", help="list every difference by its own name (default: patterns as one line)"
    )
    parser.add_argument(
        "--contents", action="store_true", help="compare the values of weights of any size (default: up to 4 GB)"
    )
    parser.add_argument("--html", metavar="FILE", help="of two recorded runs: write a page with both curves")


def run(args: argparse.Namespace, console: Console) -> int:
    """Exit status 0: no difference in what was compared. 1: at least one."""
    from envpin.cli.console.findings import render_table
    from envpin.diagnose.diff import SECTIONS, diff
    from envpin.diagnose.fold import FoldedChange, fold
    from envpin.replay.training.compare import compare_runs

    changes, not_compared = diff(args.before, args.after, whole=args.contents)
    runs = compare_runs(args.before, args.after)
    _write_page(runs, args)
    parted = runs is not None and runs.judgement.verdict != "identical"
    if console.json_mode:
        import msgspec

        body = {"before": str(args.before), "after": str(args.after), "runs": msgspec.to_builtins(runs)}
        console.document(1, {**body, "changes": [one._asdict() for one in changes], "not_compared": not_compared})
        return 1 if changes or parted else 0
    if not changes:
        console.data("no difference" if not_compared is None else "no difference in what was compared")
    for section in SECTIONS:
        own = [one for one in changes if one.section == section]
        if not own:
            continue
        folded = [FoldedChange(*one, number=1) for one in own] if args.all else fold(own)
        shown = folded if args.all else folded[:_ROWS]
        rows: list[tuple[str, ...]] = [(one.what, *map(_cell, one.sides), _note(one)) for one in shown]
        console.data(f"{section} ({len(own)})")
        head = ("what", str(args.before), str(args.after), "")
        said = [at for at in range(len(head)) if any(row[at] for row in rows)]
        console.data(render_table([head[at] for at in said], [[row[at] for at in said] for row in rows]))
        if left := sum(one.number for one in folded[len(shown) :]):
            console.data(f"… and {left} more (--all shows them)")
        console.data("")
    if not_compared is not None:
        console.data(f"not compared: {not_compared}")
    if runs is not None:
        from envpin.cli.render.training import judgement_lines

        console.data("\n".join(["training", *judgement_lines(runs.judgement)]))
    return 1 if changes or parted else 0


def _write_page(runs: RunComparison | None, args: argparse.Namespace) -> None:
    """The page of `--html`.

    Raises:
        InputError: these are not two recorded runs with a trace, or the page cannot be written.
        OutputExistsError: another file is there.
    """
    if args.html is None:
        return
    from envpin.cli.console.page_file import refuse_other_file
    from envpin.cli.render.training import judgement_lines
    from envpin.core.errors import InputError
    from envpin.manifest.write import write_text
    from envpin.report.runs_page import render_runs

    if runs is None or not any(curve.steps for curve in runs.curves):
        raise InputError("--html is for two recorded runs, and one of these has no training or no trace in its record",
                         hint="record with `envpin record -- CMD…`")  # fmt: skip
    refuse_other_file(Path(args.html), mark="envpin diff", option="--html")
    names = (str(args.before), str(args.after))
    write_text(Path(args.html).absolute(), render_runs(runs, names, judgement_lines(runs.judgement)))


def _cell(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:57]}…"


def _note(one: FoldedChange) -> str:
    many = f"{one.number} alike" if one.number > 1 else ""
    return "; ".join(word for word in (many, one.note) if word)
