"""`envpin matrix lint`: every contradiction in the matrix, one line each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.resources import data_path
from envpin.core.sizes import counted
from envpin.evidence.lint import lint
from envpin.matrix.load import load_matrix
from envpin.matrix.results import evidence_path, load_results
from envpin.matrix.support import load_support

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console


def run_lint(args: argparse.Namespace, console: Console) -> int:
    """Exit status 1 where something is wrong."""
    own = Path(args.matrix) if args.matrix else None
    matrix = load_matrix(own)
    overlay = matrix.overlay if own is None else None
    evidence = load_results(evidence_path(own))
    if overlay is not None:
        evidence |= load_results(evidence_path(Path(overlay)))
    today = datetime.now(UTC).date().isoformat()
    problems = lint(matrix, load_support(), locks=_locks(), evidence=evidence, today=today)
    if args.online:
        from envpin.evidence.lint_online import lint_online
        from envpin.remote.index import Index

        problems += lint_online(matrix, Index(), listener=console.listener())
        console.close()
    if args.json:
        console.document(1, {"families": len(matrix.families), "problems": problems})
    elif problems:
        console.data("\n".join(problems))
    else:
        counts = (
            f"{counted(len(matrix.families), 'family')}, {counted(len(matrix.breaks), 'break')}, "
            f"{counted(len(matrix.relations), 'relation')}"
        )
        console.data(f"{counts}: nothing wrong")
    return 1 if problems else 0


def _locks() -> dict[str, bytes]:
    folder = data_path("lockfiles")
    return {
        path.name.removeprefix("pylock.").removesuffix(".toml"): path.read_bytes()
        for path in sorted(folder.glob("pylock.*.toml"))
    }
