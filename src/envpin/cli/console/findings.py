"""Findings and tables as text, for every command that prints them."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from envpin.cli.console.tables import joined, widths_of
from envpin.cli.console.width import columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpin.core.findings import Evidence, Finding

_ENDLESS = 1_000_000
_MARKS = {"blocker": "✗", "warning": "!", "info": "·"}


def render_findings(findings: Sequence[Finding]) -> str:
    """Each finding with its evidence and its fix, in the order given."""
    return "\n\n".join(_finding(one) for one in findings)


def _finding(one: Finding) -> str:
    lines = [f"{_MARKS[one.severity]} {one.severity}: {printable(one.message)} [{one.code}]"]
    lines += [f"    {_evidence(seen)}" for seen in one.evidence]
    lines += [f"    fix: {printable(step)}" for step in one.fix[:1]]
    lines += [f"    or:  {printable(step.removeprefix('or '))}" for step in one.fix[1:]]
    return "\n".join(_wrapped(line) for line in lines)


def wrapped(text: str) -> str:
    """Lines broken at spaces to the terminal's width; a command that breaks goes on after a backslash."""
    return "\n".join(_wrapped(line) for line in text.split("\n"))


def _wrapped(line: str) -> str:
    width = _width(120)
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    found = re.search(r"(?:^|: +)(envpin .*)", line)
    if found is None:
        return _filled(line, width, indent)
    # A command is to be copied in one piece: into a file it stays on its line, whatever its length.
    if len(line) <= width or not sys.stdout.isatty():
        return line
    before, command = line[: found.start(1)], found[1]
    if re.search(r"[,;] | \(", command):  # a sentence goes on after it
        return _filled(line, width, indent)
    lines = _filled(command, width - len(indent) - 2, "    ", names=False).split("\n")
    command = " \\\n".join(f"{indent}{one}" for one in lines)
    return f"{_filled(before.rstrip(), width, indent)}\n{command}"


def _filled(line: str, width: int, indent: str, *, names: bool = True) -> str:
    """Broken at spaces and, with `names`, behind the dots and slashes of a word that is longer than a line."""
    start = line[: len(line) - len(line.lstrip())]
    room = width - len(indent)
    lines, now = [], start
    for word in line.strip().split(" "):
        pieces = [word] if len(word) <= room or not names else re.findall(r"[^./]*[./]+|[^./]+", word)
        for at, piece in enumerate(pieces):
            joint = "" if at or not now.strip() else " "
            if now.strip() and len(now) + len(joint) + len(piece) > width:
                lines.append(now.rstrip())
                now, joint = indent, ""
            now += joint + piece
    return "\n".join([*lines, now])


def _width(unknown: int) -> int:
    """Columns of the terminal; where there is none, `unknown`."""
    return max(40, columns() or unknown)


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
    """A table with a rule under its head; columns as wide as what is in them.

    On a terminal too narrow for it, each row is a block of lines: its first cell, then the others by name.
    """
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = widths_of(cells)
    if sum(widths) + 3 * (len(widths) - 1) > _width(_ENDLESS):
        return "\n".join(_block(cells[0], row) for row in cells[1:])
    rule = "─┼─".join("─" * width for width in widths)
    head_line, *lines = (joined(row, widths, " │ ") for row in cells)
    return "\n".join([head_line, rule, *lines])


def _block(head: Sequence[str], row: Sequence[str]) -> str:
    named = [
        f"    {name}: {cell}" if name else f"    {cell}" for name, cell in zip(head[1:], row[1:], strict=True) if cell
    ]
    return "\n".join(_filled(line, _width(_ENDLESS), "        ") for line in (row[0], *named))


def printable(text: str) -> str:
    """Text from a stranger's file without control characters, which could redraw the terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)
