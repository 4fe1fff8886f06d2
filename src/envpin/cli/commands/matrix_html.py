"""`envpin matrix html`: write the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import InfrastructureError, OutputExistsError
from envpin.core.files import write_atomically
from envpin.matrix.load import load_matrix
from envpin.matrix.results import evidence_path, load_results
from envpin.matrix.support import load_support
from envpin.report.matrix_page import MARK, render_matrix

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console


def run_html(args: argparse.Namespace, console: Console) -> int:
    from datetime import UTC, datetime

    target = Path(args.output)
    if args.output != "-":
        _check(target)
    own = Path(args.matrix) if args.matrix else None
    matrix = load_matrix(own)
    evidence = load_results(evidence_path(own))
    if own is None and matrix.overlay is not None:
        evidence |= load_results(evidence_path(Path(matrix.overlay)))
    text = render_matrix(matrix, load_support(), evidence, day=datetime.now(UTC).date().isoformat())
    if args.output == "-":
        console.data(text)
        return 0
    data = text.encode()
    try:
        write_atomically(target, data, parents=True)
    except OSError as error:
        raise InfrastructureError(
            f"`{target}` cannot be written: {error.strerror}", hint="name another file with -o"
        ) from error
    if args.json:
        console.document(1, {"file": str(target), "bytes": len(data), "families": len(matrix.families),
                             "runs": len(evidence)})  # fmt: skip
    else:
        console.data(f"{target}: {len(matrix.families)} families, {len(evidence)} runs, {len(data)} bytes")
    return 0


def _check(target: Path) -> None:
    """An earlier page is replaced; a file that is something else is not."""
    try:
        beginning = target.read_bytes()[:2000] if target.is_file() else b""
    except OSError:
        return  # writing says what is wrong
    if target.is_dir() or (beginning.strip() and MARK.encode() not in beginning):
        raise OutputExistsError(
            f"`{target}` exists and is no page of `envpin matrix html`", hint="name another file with -o"
        )
