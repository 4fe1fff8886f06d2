"""Findings and tables as text, for every command that prints them."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpin.findings import Evidence, Finding

_MARKS = {"blocker": "✗", "warning": "!", "info": "·"}


def render_findings(findings: Sequence[Finding]) -> str:
    """Each finding with its evidence and its fix, in the order given."""
    return "\n\n".join(_finding(one) for one in findings)


def _finding(one: Finding) -> str:
    lines = [f"{_MARKS[one.severity]} {one.severity}: {printable(one.message)} [{one.code}]"]
    lines += [f"    {_evidence(seen)}" for seen in one.evidence]
    lines += [f"    fix: {printable(step)}" for step in one.fix[:1]]
    lines += [f"    or:  {printable(step)}" for step in one.fix[1:]]
    return "\n".join(_wrapped(line) for line in lines)


def _wrapped(line: str) -> str:
    width = max(60, shutil.get_terminal_size((120, 24)).columns)
    if len(line) <= width or "envpin " in line:  # a command is to be copied in one piece
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _evidence(seen: Evidence) -> str:
    parts = []
    if seen.file is not None:
        parts.append(seen.file if seen.line is None else f"{seen.file}:{seen.line}")
    elif seen.line is not None:
        parts.append(f"line {seen.line}")
    if seen.tensor is not None:
        parts.append(seen.tensor)
    if seen.found is not None:
        parts.append(seen.found if seen.expected is None else f"{seen.found}, expected {seen.expected}")
    elif seen.expected is not None:
        parts.append(f"expected {seen.expected}")
    if seen.note is not None:
        parts.append(seen.note)
    return printable(": ".join(parts))


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a rule under its head; columns as wide as what is in them."""
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]

    def line(row: Sequence[str]) -> str:
        return " │ ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    rule = "─┼─".join("─" * width for width in widths)
    return "\n".join([line(cells[0]), rule, *(line(row) for row in cells[1:])])


def printable(text: str) -> str:
    """Text from a stranger's file without control characters, which could redraw the terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)
