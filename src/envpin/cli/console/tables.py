"""Tables: columns as wide as what is in them, made to fit the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.cli.console.width import cut, padded, wide

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST = 14  # columns, below which a cut text says nothing


def table(rows: Sequence[Sequence[str]], *, width: int | None = None, elastic: int = 0) -> list[str]:
    """The lines of a table, its columns two spaces apart. To fit `width`, the column `elastic` is cut short, or left
    out where hardly anything of it would remain."""
    widths = widths_of(rows)
    if width is not None:
        left = widths[elastic] - max(0, sum(widths) + 2 * (len(widths) - 1) - width)
        if left < min(_LEAST, widths[elastic]):
            return table([[*row[:elastic], *row[elastic + 1 :]] for row in rows])
        widths[elastic] = left
    return [joined([cut(cell, size) for cell, size in zip(row, widths, strict=True)], widths, "  ") for row in rows]


def widths_of(rows: Sequence[Sequence[str]]) -> list[int]:
    """The columns that the widest cell of each column takes."""
    return [max(wide(row[at]) for row in rows) for at in range(len(rows[0]))]


def joined(row: Sequence[str], widths: Sequence[int], between: str) -> str:
    """One line of a table."""
    return between.join(padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
