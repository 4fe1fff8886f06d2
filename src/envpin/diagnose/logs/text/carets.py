"""What Python 3.11 and newer mark below a line of code: what was looked up, and in what. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_MARKS = re.compile(r"^[^\S\n]*(?P<what>~+)(?P<key>\^+)[^\S\n]*$")
_UNDER = re.compile(r"^[^\S\n]*(?P<all>[~^]+)[^\S\n]*$")


class LookUp(NamedTuple):
    """`what[key]`, as a line of code writes it; `key` without its brackets."""

    what: str
    key: str


def marked_look_up(before: str) -> LookUp | None:
    """The look-up at which the last frame stopped; None where nothing is marked, or something else is."""
    lines = before.split("\n")
    at = len(lines) - 1
    while at > 0 and 'File "' not in lines[at] and _MARKS.match(lines[at]) is None:
        at -= 1
    marks, code = _MARKS.match(lines[at]), lines[at - 1]
    if marks is None:
        return None
    what, key = code[marks.start("what") : marks.end("what")], code[marks.start("key") : marks.end("key")]
    return LookUp(what.strip(), key[1:-1].strip()) if key[:1] == "[" and key[-1:] == "]" and what.strip() else None


def marked_code(before: str) -> str | None:
    """The part of its line at which the last frame stopped; None where nothing is marked."""
    lines = before.split("\n")
    at = next((at for at in range(len(lines) - 1, 0, -1) if 'File "' in lines[at] or _UNDER.match(lines[at])), 0)
    found = _UNDER.match(lines[at]) if at else None
    return None if found is None else lines[at - 1][found.start("all") : found.end("all")].strip() or None
