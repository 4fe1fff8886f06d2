"""Answers of `diagnose` beside what was judged, for the benchmarks that count them and the tests that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path


def is_right(judged: Mapping[str, Any], named: AbstractSet[str]) -> bool:
    """Whether the judged code is named; where nothing must be said ("") or no code of the catalogue fits ("?"), nothing
    but what was judged to help as well."""
    code = judged["code"]
    return code in named if code.strip("?") else not named - {*judged.get("also", ())}


def held_by_both(first: Path, second: Path) -> dict[str, set[str]]:
    """For each run the codes that both judges hold as right from its log alone: named first (second column of their
    files), or of equal right (third). Empty where a judge's file is not there."""
    one, other = held(first), held(second)
    return {name: one[name] & other.get(name, set()) for name in one}


def held(path: Path) -> dict[str, set[str]]:
    """For each run the codes that one judge holds as right."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return {row[0]: {row[1], *"".join(row[2:3]).replace(" ", "").split(",")} - {""} for row in rows}


@dataclass
class Tally:
    """How many answers are right, silent or another cause; how many of the last help as well, and how many are right
    from the log alone, where another cause than the experiment's has equal right."""

    right: int = 0
    silent: int = 0
    another: int = 0
    helps: int = 0
    equal: int = 0
    misses: list[str] = field(default_factory=list)

    def add(
        self, name: str, judged: Mapping[str, Any], named: AbstractSet[str], equal: AbstractSet[str] = frozenset()
    ) -> bool:
        """Count one answer. True where it is right."""
        right = is_right(judged, named)
        self.right += right
        if not right:
            self.silent += not named
            self.another += bool(named)
            self.helps += bool(named & {*judged.get("also", ())})
            self.equal += bool(named & equal)
            said = ", ".join(sorted(named)) or "nothing"
            self.misses.append(f"  miss: {name}: {judged['code'] or 'nothing'}, named {said}")
        return right

    def __str__(self) -> str:
        return (
            f"{self.right} right, {self.silent} silent, {self.another} another cause "
            f"({self.helps} of them one that helps as well)"
        )
