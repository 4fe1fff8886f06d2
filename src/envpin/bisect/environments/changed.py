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
class PackageChange:
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
    """`moved` breaks it. `needed` are its moves that no other one forces, `carried` those that they force.

    `proved`: without any one of `needed`, and what moves together with it, it passes, by a test of each. Otherwise an
    environment could not be tested, and `unproved` names the moves whose need is not shown.
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
    changes: Sequence[PackageChange],
    known: Mapping[Subset, Tested],
    *,
    close: Callable[[Subset], Subset],
    suspects: Sequence[str] = (),
    always: Subset = frozenset(),
    dependents: Mapping[str, Subset] | None = None,
) -> Trial | Minimal:
    """The next set to test, or the answer. The whole of `changes` must be known to be bad, and none of it good.

    `close` adds what a set of moves forces; `suspects` are packages to try first; `dependents` says which of the others
    require a package: where several always move together, the one that the fewest of them require stands for them.
    Moves of `always` are made in every test and never blamed; the answer has no `needed` where they break it by
    themselves.
    """
    everything = frozenset(change.package for change in changes)
    always = close(always & everything)
    required = dependents or {}

    def rank(name: str) -> tuple[int, str]:
        return suspects.index(name) if name in suspects else len(suspects), name

    def head(block: Subset) -> str:
        return min(block, key=lambda name: (len(required.get(name, frozenset()) & block), *rank(name)))

    # What forces much comes late: the answer is sought among the moves that force little first.
    order = sorted(everything - always, key=lambda name: (len(close(frozenset({name}))), *rank(name)))

    def breaks(subset: Subset) -> bool:
        return state(subset) == "bad"

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
        needed = _quick_explain(always, order, breaks)
        if not breaks(frozenset(needed)):
            # An untestable set in between led astray: take moves away one by one, which needs no such luck.
            needed = _take_away(order, breaks)
        needed = _without_superfluous(needed, close, breaks)
        moved = _without_sources(close(always | frozenset(needed)), always, close, breaks)
        heads = [head(block) for block in _sources(moved - always, close)]
        smaller = {name: state(without(moved, name, close)) for name in heads}
    except _Wanted as wanted:
        return Trial(moved=wanted.moved)
    unproved = tuple(sorted(name for name in heads if smaller[name] != "good"))
    carried = tuple(sorted(moved - always - set(heads)))
    return Minimal(moved=moved, needed=tuple(sorted(heads)), carried=carried, proved=not unproved, unproved=unproved)


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


def without(moved: Subset, name: str, close: Callable[[Subset], Subset]) -> Subset:
    """The largest closed part of `moved` that does not hold `name`: all but what forces it."""
    return frozenset(other for other in moved if name not in close(frozenset({other})))


def _sources(moved: Subset, close: Callable[[Subset], Subset]) -> list[Subset]:
    """The moves that no other move of `moved` forces, each with those that it forces and that force it in turn."""
    forced = {name: close(frozenset({name})) for name in moved}
    blocks = {frozenset(other for other in forced[name] & moved if name in forced[other]) for name in moved}
    return sorted((block for block in blocks if not any(block & forced[other] for other in moved - block)), key=sorted)


def _without_sources(
    moved: Subset, always: Subset, close: Callable[[Subset], Subset], breaks: Callable[[Subset], bool]
) -> Subset:
    """Take away what nothing else forces, for as long as the rest breaks: no set within the answer does."""
    smaller: Subset | None = moved
    while smaller is not None:
        moved = smaller
        rests = (moved - block for block in _sources(moved - always, close))
        smaller = next((rest for rest in rests if rest and breaks(rest)), None)
    return moved


def closure(changes: Sequence[PackageChange], declared: Declared) -> Callable[[Subset], Subset]:
    """What a set of moves forces, by what the versions on both sides declare about each other."""
    by_name = {change.package: change for change in changes}
    # A move forces another where one without the other is refused, and both together or neither is not. What an end
    # refuses as it stands works there all the same, and forces nothing.
    forces: dict[str, set[str]] = {name: set() for name in by_name}
    for name, change in by_name.items():
        for here, side in ((change.good, False), (change.bad, True)):
            for other, requirement in _about(declared.get((name, here or ""), ()), by_name):
                old, new = by_name[other].good, by_name[other].bad
                together, apart = (new, old) if side else (old, new)
                if here is not None and _satisfied(requirement, together) and not _satisfied(requirement, apart):
                    first, second = (name, other) if side else (other, name)
                    forces[first].add(second)

    def close(moved: Subset) -> Subset:
        found, waiting = set(moved), list(moved)
        while waiting:
            more = forces[waiting.pop()] - found
            found |= more
            waiting += more
        return frozenset(found)

    return close


def dependents(changes: Sequence[PackageChange], declared: Declared) -> dict[str, Subset]:
    """Which of the other changed packages require each one, on either side."""
    names = {change.package: change for change in changes}
    found: dict[str, set[str]] = {name: set() for name in names}
    for name, change in names.items():
        for version in (change.good, change.bad):
            for other, _ in _about(declared.get((name, version or ""), ()), names):
                found[other].add(name)
    return {name: frozenset(others - {name}) for name, others in found.items()}


def _about(texts: Sequence[str], names: Mapping[str, PackageChange]) -> list[tuple[str, Requirement]]:
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
