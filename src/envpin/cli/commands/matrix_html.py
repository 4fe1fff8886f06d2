"""`envpin matrix html`: write the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.cli.console.page_file import refuse_other_file, write_page
from envpin.core.sizes import counted
from envpin.matrix.load import load_matrix
from envpin.matrix.results import evidence_path, load_results
from envpin.matrix.support import load_support
from envpin.report.matrix_page import render_matrix

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console


def run_html(args: argparse.Namespace, console: Console) -> int:
    from datetime import UTC, datetime

    target = Path(args.output)
    if args.output != "-":
        refuse_other_file(target, mark="envpin matrix html", option="-o")
    own = Path(args.matrix) if args.matrix else None
    matrix = load_matrix(own)
    evidence = load_results(evidence_path(own))
    if own is None and matrix.overlay is not None:
        evidence |= load_results(evidence_path(Path(matrix.overlay)))
    text = render_matrix(matrix, load_support(), evidence, day=datetime.now(UTC).date().isoformat())
    if args.output == "-":
        if args.json:
            console.document(1, {"file": None, "text": text})
        else:
            console.data(text)
        return 0
    size = write_page(target, text, option="-o")
    if args.json:
        console.document(1, {"file": str(target), "bytes": size, "families": len(matrix.families),
                             "runs": len(evidence)})  # fmt: skip
    else:
        console.data(
            f"{target}: {counted(len(matrix.families), 'family')}, {counted(len(evidence), 'run')}, "
            f"{counted(size, 'byte')}"
        )
    return 0
