"""Text as wide as the terminal; where stdout is none, as wide as it comes, so that programs need not undo it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_LEAST = 14  # columns, below which a cut text says nothing


def columns() -> int | None:
    """Columns of the terminal that stdout is, None where it is none; COLUMNS overrules it."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return None


def wrapped(lines: Iterable[str], *, indent: int) -> list[str]:
    """Lines that are too long for the terminal, broken at words and continued `indent` columns in."""
    width = columns()
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


def table(rows: Sequence[Sequence[str]], *, elastic: int | None = None) -> list[str]:
    """Columns as wide as they need to be, two spaces apart. On a narrow terminal the `elastic` one is cut short, or
    left out where hardly anything of it would remain."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    room = columns()
    if elastic is not None and room is not None:
        left = widths[elastic] - max(0, sum(widths) + 2 * (len(widths) - 1) - room)
        if left < min(_LEAST, widths[elastic]):
            return table([[*row[:elastic], *row[elastic + 1 :]] for row in rows])
        widths[elastic] = left
    return [
        "  ".join(_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"
