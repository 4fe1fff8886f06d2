"""How wide the terminal is, how wide a text is on it, and text that is broken, cut or padded to fit.

Where stdout is no terminal, text is as wide as it comes, so that programs need not undo it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


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


def wide(text: str) -> int:
    """How many columns a text takes: letters of Chinese, Japanese and Korean take two, marks on others none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def padded(text: str, width: int) -> str:
    """`text` with spaces behind it, `width` columns together."""
    return text + " " * (width - wide(text))


def cut(text: str, width: int) -> str:
    """The beginning of `text`, in at most `width` columns; a dot row says that there was more."""
    if wide(text) <= width:
        return text
    kept = text[: max(0, width - 1)]
    while wide(kept) > max(0, width - 1):
        kept = kept[:-1]
    return kept + "…"


def fitted(lines: Iterable[str], *, indent: int) -> str:
    """An answer of several lines, each broken at words to the terminal that stdout is; as it comes where it is none."""
    return "\n".join(wrapped(lines, indent=indent, width=room()))


def wrapped(lines: Iterable[str], *, indent: int, width: int | None) -> list[str]:
    """Lines that are longer than `width`, broken at words and continued `indent` columns in. A command stays whole, to
    be copied in one piece."""
    lines = [line for text in lines for line in text.split("\n")]
    if width is None or width < indent + 20:
        return lines
    found: list[str] = []
    for line in lines:
        if len(line) <= width or line.lstrip().startswith("envpin "):
            found.append(line)
            continue
        import textwrap

        found += textwrap.wrap(
            line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False,
            drop_whitespace=True, replace_whitespace=False,
        )  # fmt: skip
    return found
