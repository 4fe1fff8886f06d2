"""Text as wide as the terminal; where stdout is none, as wide as it comes, so that programs need not undo it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_LEAST = 14  # columns, below which a cut text says nothing


def columns() -> int | None:
    """Columns of the terminal that stdout is, or that COLUMNS says; None where neither says anything."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return None


def room() -> int | None:
    """Columns to fit an answer into; None where stdout is no terminal, whatever COLUMNS says."""
    return columns() if sys.stdout.isatty() else None


def wrapped(lines: Iterable[str], *, indent: int, width: int | None) -> list[str]:
    """Lines that are longer than `width`, broken at words and continued `indent` columns in."""
    if width is None or width < indent + 20:
        return list(lines)
    found: list[str] = []
    for line in lines:
        if len(line) <= width:
            found.append(line)
            continue
        import textwrap

        found += textwrap.wrap(
            line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False,
            drop_whitespace=True, replace_whitespace=False,
        )  # fmt: skip
    return found


def table(rows: Sequence[Sequence[str]], *, width: int | None, elastic: int) -> list[str]:
    """Columns as wide as they need to be, two spaces apart. To fit `width`, the `elastic` one is cut short, or left out
    where hardly anything of it would remain."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    if width is not None:
        left = widths[elastic] - max(0, sum(widths) + 2 * (len(widths) - 1) - width)
        if left < min(_LEAST, widths[elastic]):
            return table([[*row[:elastic], *row[elastic + 1 :]] for row in rows], width=None, elastic=0)
        widths[elastic] = left
    return [
        "  ".join(_cut(cell, size).ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"
