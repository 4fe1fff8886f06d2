"""Which of many moves are needed to break an environment: a minimal set, found with few tests. Pure.

Moves come in closed sets only: where one package's new version demands another's, they move together, so that no test
is spent on an environment that its own packages declare impossible. `next_step` is a function of what has been tested,
so the search resumes from a log by being asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

Tested = Literal["good", "bad", "unknown"]
Subset: TypeAlias = frozenset[str]
# (package, version) → the requirements that this version declares
Declared: TypeAlias = Mapping[tuple[str, str], Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A package whose version differs between the two ends; None stands for absent."""

    package: str
    good: str | None
    bad: str | None

    def __str__(self) -> str:
        return f"{self.package} {self.good or 'absent'} → {self.bad or 'absent'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Test the environment in which exactly these packages have moved."""

    moved: Subset


@dataclass(frozen=True, kw_only=True, slots=True)
class Minimal:
    """`moved` breaks it. `needed` are the moves that were searched for, `carried` those that they force.

    `proved`: without any one of `needed` it passes, by a test of each. Otherwise some environment in between could
    not be tested, and `unproved` names the moves whose need is not shown.
    """

    moved: Subset
    needed: tuple[str, ...]
    carried: tuple[str, ...]
    proved: bool
    unproved: tuple[str, ...] = ()


class _Wanted(Exception):  # noqa: N818  a signal, not an error
    def __init__(self, moved: Subset) -> None:
        super().__init__()
        self.moved = moved


def next_step(
    changes: Sequence[Change],
    known: Mapping[Subset, Tested],
    *,
    close: Callable[[Subset], Subset],
    suspects: Sequence[str] = (),
    always: Subset = frozenset(),
) -> Trial | Minimal:
    """The next set to test, or the answer. The whole of `changes` must be known to be bad, and none of it good.

    `close` adds what a set of moves forces; `suspects` are packages to try first. Those of `always` are made in every
    test and never blamed; the answer has no `needed` where they break it by themselves.
    """
    everything = frozenset(change.package for change in changes)
    always = close(always & everything)
    order = sorted(
        everything - always,
        key=lambda name: (suspects.index(name) if name in suspects else len(suspects), name),
    )

    def state(subset: Subset) -> Tested:
        closed = close(subset | always)
        if not closed:
            return "good"
        if closed == everything:
            return "bad"
        if closed not in known:
            raise _Wanted(closed)
        return known[closed]

    try:
        needed = _quick_explain(always, order, lambda subset: state(subset) == "bad")
        if state(frozenset(needed)) != "bad":
            # An untestable set in between led astray: take moves away one by one, which needs no such luck.
            needed = _take_away(order, lambda subset: state(subset) == "bad")
        needed = _without_superfluous(needed, close, lambda subset: state(subset) == "bad")
        moved = close(always | frozenset(needed))
        without = {name: state(_without(moved, name, close)) for name in needed}
    except _Wanted as wanted:
        return Trial(moved=wanted.moved)
    unproved = tuple(name for name in needed if without[name] != "good")
    carried = tuple(sorted(moved - always - set(needed)))
    return Minimal(moved=moved, needed=tuple(needed), carried=carried, proved=not unproved, unproved=unproved)


def plan(
    known: Mapping[Subset, Tested], count: int, ask: Callable[[Mapping[Subset, Tested]], Trial | Minimal]
) -> tuple[Subset, ...] | Minimal:
    """Up to `count` sets worth testing at once: the next one, then those that would come next after its outcomes.

    `ask` is `next_step` with all but what is known filled in.
    """
    first = ask(known)
    if isinstance(first, Minimal):
        return first
    wanted = [first.moved]
    frontier: list[tuple[Mapping[Subset, Tested], Subset]] = [(known, first.moved)]
    while frontier and len(wanted) < count:
        seen, moved = frontier.pop(0)
        outcomes: tuple[Tested, ...] = ("good", "bad")
        for outcome in outcomes:
            later = {**seen, moved: outcome}
            step = ask(later)
            if isinstance(step, Trial):
                frontier.append((later, step.moved))
                if step.moved not in wanted:
                    wanted.append(step.moved)
    return tuple(wanted[:count])


def _quick_explain(held: Subset, order: Sequence[str], breaks: Callable[[Subset], bool]) -> list[str]:
    """A minimal part of `order` that breaks it together with `held` (Junker's QuickXplain)."""

    def explain(background: Subset, added: bool, rest: Sequence[str]) -> list[str]:
        if added and breaks(background):
            return []
        if len(rest) == 1:
            return list(rest)
        half = len(rest) // 2
        first, second = rest[:half], rest[half:]
        right = explain(background | set(first), True, second)
        left = explain(background | set(right), bool(right), first)
        return [*left, *right]

    return explain(held, bool(held), list(order)) if order else []


def _take_away(order: Sequence[str], breaks: Callable[[Subset], bool]) -> list[str]:
    """Remove halves, quarters, … single moves for as long as what is left breaks."""
    left = list(order)
    size = max(1, len(left) // 2)
    while True:
        at, removed = 0, False
        while at < len(left):
            rest = left[:at] + left[at + size :]
            if rest and breaks(frozenset(rest)):
                left, removed = rest, True
            else:
                at += size
        if size == 1 and not removed:
            return left
        size = max(1, size // 2)


def _without_superfluous(
    needed: Sequence[str], close: Callable[[Subset], Subset], breaks: Callable[[Subset], bool]
) -> list[str]:
    """Drop what another needed move forces anyway, and what breaks as well without it."""
    left = list(needed)
    for name in list(left):
        rest = [other for other in left if other != name]
        if rest and (name in close(frozenset(rest)) or breaks(frozenset(rest))):
            left = rest
    return left


def _without(moved: Subset, name: str, close: Callable[[Subset], Subset]) -> Subset:
    """The largest closed part of `moved` that does not hold `name`."""
    left: Subset = frozenset()
    for other in sorted(moved - {name}):
        grown = close(left | {other})
        if name not in grown and grown <= moved:
            left = grown
    return left


def closure(changes: Sequence[Change], declared: Declared) -> Callable[[Subset], Subset]:
    """What a set of moves forces, by what the versions on both sides declare about each other."""
    by_name = {change.package: change for change in changes}

    def version_of(name: str, moved: Subset) -> str | None:
        change = by_name[name]
        return change.bad if name in moved else change.good

    def forced(moved: Subset) -> Subset:
        found: set[str] = set()
        for name in by_name:
            here = version_of(name, moved)
            if here is None:
                continue
            for other, requirement in _about(declared.get((name, here), ()), by_name):
                if _satisfied(requirement, version_of(other, moved)):
                    continue
                # One of the two is on the wrong side: the one that has not moved yet has to.
                found |= {one for one in (name, other) if one not in moved}
        return frozenset(found)

    def close(moved: Subset) -> Subset:
        while True:
            more = forced(moved) - moved if moved else frozenset()
            if not more:
                return moved
            moved |= more

    return close


def _about(texts: Sequence[str], names: Mapping[str, Change]) -> list[tuple[str, Requirement]]:
    found = []
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        name = str(canonicalize_name(requirement.name))
        if name in names and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found.append((name, requirement))
    return found


def _satisfied(requirement: Requirement, version: str | None) -> bool:
    if version is None:
        return False
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True
