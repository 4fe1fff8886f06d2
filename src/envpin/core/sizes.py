"""Sizes and counts as people write and read them: `5GB` is 5·10⁹ as in transformers, `5GiB` is 5·2³⁰."""

from __future__ import annotations

import re

from envpin.core.errors import UsageError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30,
          "TB": 10**12, "TIB": 2**40}  # fmt: skip


def parse_size(text: str) -> int:
    """Bytes.

    Raises:
        UsageError: it is not a size, or it is zero.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    unit = found.group(2).upper() if found else "?"
    if found is None or unit not in _UNITS or not float(found.group(1)):
        raise UsageError(f"`{text}` is not a size", hint="write for example 5GB or 500MB")
    return int(float(found.group(1)) * _UNITS[unit])


def size_words(count: int) -> str:
    """`213 MB`, `2.9 GB`: three digits at most, in powers of 1000."""
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    if units[0] == "bytes":
        return counted(count, "byte")
    return f"{value:.1f} {units[0]}" if value < 9.95 else f"{value:.0f} {units[0]}"


def counted(count: int | None, noun: str) -> str:
    """`1 folder`, `2,000 folders`, `3 entries`: the owner of plurals (tests/unit/core/test_sizes.py). None is `?`."""
    if count is None:
        return f"? {_plural(noun)}"
    return f"{count:,} {noun if count == 1 else _plural(noun)}"


def verb(count: int, one: str, many: str) -> str:
    """The form of a verb that goes with a count: `verb(1, "is", "are")` is `is`."""
    return one if count == 1 else many


def _plural(noun: str) -> str:
    if re.search(r"[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"
