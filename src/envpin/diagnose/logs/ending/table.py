"""A row of the tables by which this folder tells last lines: a pattern, and what a line of its kind means."""

from __future__ import annotations

import re
from typing import NamedTuple


class Row(NamedTuple):
    """`says` may hold the groups of the pattern by name."""

    pattern: re.Pattern[str]
    code: str
    says: str
    fix: tuple[str, ...]


def row(pattern: str, code: str, says: str, *fix: str) -> Row:
    return Row(re.compile(pattern), code, says, fix)
