"""Regular expressions of strangers: which names they match, where Python answers that in a moment. Pure."""

from __future__ import annotations

import re
from itertools import pairwise
from math import comb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# A pattern and a name cost at most as many steps as there are ways to cut the name at its parts of any length; a
# hundred million steps are a second.
_REPEATS, _LONGEST, _STEPS = 4, 2_000, 100_000_000
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?\(|[()]|\*|\+|\{\d*,?\d*\}|.", re.DOTALL)
_REPEAT = re.compile(r"\*|\+|\{\d*,\d*\}")
# A group that is repeated may cut the name anew each time, so many times as is said, too.
_AGAIN = re.compile(r"\*|\+|\{\d*,?\d*\}")


def unmatched(pattern: str, names: Collection[str]) -> frozenset[str]:
    """The names that a pattern does not match as a whole; none where it may take long to tell, or is no pattern."""
    repeats = _repeats(pattern)
    if repeats is None or sum(comb(len(name) + repeats, repeats) for name in names) > _STEPS:
        return frozenset()
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return frozenset()
    return frozenset(name for name in names if compiled.fullmatch(name) is None)


def _repeats(pattern: str) -> int | None:
    """How many parts may have any length; None where they are many, a group is repeated, or one is referred to."""
    if len(pattern) > _LONGEST or re.search(r"\\[1-9]|\(\?P=|\(\?\(", pattern):
        return None
    tokens = _TOKEN.findall(pattern)
    if any(one == ")" and _AGAIN.fullmatch(after) for one, after in pairwise(tokens)):
        return None
    count = sum(_REPEAT.fullmatch(one) is not None for one in tokens)
    return count if count <= _REPEATS else None
