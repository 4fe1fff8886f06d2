"""Differences that are one pattern, as one line: what is said of every layer alike is said once. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpin.diagnose.diff import Change

VARIOUS = "…"
# Of so many digits that Python makes a number of it.
_NUMBER = re.compile(r"(?<=[.\[_])[0-9]{1,18}(?=[.\]_]|$)")


class FoldedChange(NamedTuple):
    """`number` differences of a section that are one but for numbers in `what`, which are shown as ranges.

    Other values of tensors differ in each: where several fold, `before` and `after` are `VARIOUS`.
    """

    section: str
    what: str
    before: str | None
    after: str | None
    note: str
    number: int

    @property
    def sides(self) -> tuple[str, str]:
        """Both sides as they are shown: a dash for what is not there, nothing where the note says it all."""
        before, after = ("–" if side is None else "" if side == VARIOUS else side for side in (self.before, self.after))
        return before, after


def fold(changes: Iterable[Change]) -> list[FoldedChange]:
    """In the order of the first of each pattern. Differences fold where all but the numbers in their name is equal."""
    groups: dict[tuple[str, tuple[str, ...], str | None, str | None, str], list[str]] = {}
    digests: dict[str, tuple[str | None, str | None]] = {}
    for one in changes:
        pattern, values = tuple(_NUMBER.split(one.what)), (one.before, one.after)
        if one.section == "contents" and None not in values:
            digests[one.what], values = values, (VARIOUS, VARIOUS)
        groups.setdefault((one.section, pattern, *values, one.note), []).append(one.what)
    folded = []
    for (section, pattern, before, after, note), names in groups.items():
        values = digests.get(names[0], (before, after)) if len(names) == 1 else (before, after)
        folded.append(FoldedChange(section, _ranged(pattern, names), *values, note, len(names)))
    return folded


def _ranged(pattern: tuple[str, ...], names: list[str]) -> str:
    """The pieces of a pattern with the numbers that stand between them: `layers.{0-31}.mlp`."""
    if len(names) == 1:
        return names[0]
    places: list[set[int]] = [set() for _ in pattern[1:]]
    for name in names:
        for place, number in zip(places, _NUMBER.findall(name), strict=True):
            place.add(int(number))
    shown = [ranges(place) if len(place) == 1 else f"{{{ranges(place)}}}" for place in places]
    return "".join(piece + number for piece, number in zip(pattern, [*shown, ""], strict=True))


def ranges(numbers: Iterable[int]) -> str:
    """`0-3,7` for 0, 1, 2, 3 and 7."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(one[0]) if len(one) == 1 else f"{one[0]}-{one[-1]}" for one in runs)
