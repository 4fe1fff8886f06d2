"""What a regular expression cannot match without: a cheap test before the dear one of compiling it. Pure."""

from __future__ import annotations

_MAYBE_ABSENT = "?*{"


def required_literal(pattern: str) -> str:
    """The longest run of lower-case letters and digits that every match of `pattern` holds; empty where unsure.

    Groups, sets and escapes are passed over, and an alternative at the top level makes everything unsure. Only for
    patterns without flags, as those of the matrix are.
    """
    if pattern.startswith("(?") and pattern[2:3].isalpha():
        return ""  # flags may change what letters mean
    best = run = ""
    depth, at = 0, 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "|" and depth == 0:
            return ""
        plain = depth == 0 and letter.isascii() and letter.isalnum() and not letter.isupper()
        if plain and pattern[at + 1 : at + 2] not in {*_MAYBE_ABSENT}:
            run += letter
        else:
            run = ""
        if letter == "\\":
            at += 1
        elif letter == "[":
            at = _end_of_set(pattern, at)
        elif letter == "{":
            at = max(at, pattern.find("}", at))
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        best = max(best, run, key=len)
        at += 1
    return best


def _end_of_set(pattern: str, at: int) -> int:
    """The position of the bracket that closes the set opened at `at`; a bracket that comes first is a member."""
    inside = at + 1
    if pattern[inside : inside + 1] == "^":
        inside += 1
    if pattern[inside : inside + 1] == "]":
        inside += 1
    while inside < len(pattern) and pattern[inside] != "]":
        inside += 2 if pattern[inside] == "\\" else 1
    return inside
