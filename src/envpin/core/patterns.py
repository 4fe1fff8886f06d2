"""Regular expressions of strangers: which of them Python answers for in a moment. Pure."""

from __future__ import annotations

import re

# Steps of a match are at most the length of a name to the power of how many parts may have any length.
_REPEATS, _LONGEST = 4, 2_000
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?\(|[()]|\*|\+|\{\d*,\d*\}|.", re.DOTALL)
_REPEAT = re.compile(r"\*|\+|\{\d*,\d*\}")


def is_quick(pattern: str) -> bool:
    """Whether a pattern has few parts of any length, none of them a group that is itself repeated, and no reference to
    a group: what else it is, a search of a name of a hundred letters takes no second."""
    if len(pattern) > _LONGEST or re.search(r"\\[1-9]|\(\?P=|\(\?\(", pattern):
        return False
    tokens = _TOKEN.findall(pattern)
    repeats = [at for at, one in enumerate(tokens) if _REPEAT.fullmatch(one)]
    return len(repeats) <= _REPEATS and not any(at and tokens[at - 1] == ")" for at in repeats)
