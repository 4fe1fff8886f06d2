"""Which environments a sweep needs, which families climb in each, and which adapters go from one into another. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envpin.core.errors import InputError, UsageError
from envpin.core.files import digest
from envpin.manifest.closure import MERGE_CLOSURE
from envpin.matrix.nearest import era_pins
from envpin.matrix.recipes import family_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from envpin.matrix.recipes import Recipe
    from envpin.matrix.support import Support
    from envpin.matrix.types import Family, KnownGood

# From load to merge; each needs what comes before it.
STEPS = ("load", "forward", "generate", "train", "reload", "merge")
CROSS = "cross-merge"
_NEEDED = {"forward": ("load",), "generate": ("load",), "train": ("load",), "reload": ("load", "train"),
           "merge": ("load", "train"), CROSS: ("load", "train")}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Pins:
    """An environment before it is resolved: `packages` exactly, `bounds` as further requirements, and everything else
    as it was at `exclude_newer` (a date). `lock` is the stem of the committed lock that these pins have."""

    packages: tuple[tuple[str, str], ...]
    python: str
    exclude_newer: str
    bounds: tuple[str, ...] = ()
    lock: str | None = None

    @property
    def transformers(self) -> str:
        return dict(self.packages)["transformers"]

    @property
    def name(self) -> str:
        """For people: `transformers 4.43.1, peft 0.12.0, torch 2.4.0`."""
        return ", ".join([*(f"{package} {version}" for package, version in self.packages), *self.bounds])

    @property
    def requirements(self) -> tuple[str, ...]:
        """What a merge needs: the pins, and the rest of the merge closure in any version that fits."""
        pinned = dict(self.packages)
        others = [name for name in MERGE_CLOSURE if name not in pinned]
        return (*(f"{package}=={version}" for package, version in self.packages), *others)


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPlan:
    """`climbs` says which families climb in which environment, `crossings` which adapters, trained in the first
    environment, are merged in the second. In those of `known` only what crossings need is climbed."""

    climbs: dict[Pins, tuple[str, ...]]
    crossings: dict[tuple[Pins, Pins], tuple[str, ...]] = field(default_factory=dict)
    steps: tuple[str, ...] = STEPS
    known: frozenset[Pins] = frozenset()

    def steps_in(self, pins: Pins) -> tuple[str, ...]:
        """The steps of a family in this environment."""
        return self.steps if pins not in self.known else tuple(one for one in self.steps if one in _NEEDED[CROSS])


def wanted_steps(capabilities: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The steps that these capabilities need, in order, and whether adapters cross; all of it where none is named.

    Raises:
        UsageError: there is no such capability.
    """
    if not capabilities:
        return STEPS, True
    unknown = [one for one in capabilities if one not in {*STEPS, CROSS}]
    if unknown:
        raise UsageError(
            f"`{unknown[0]}` is not a capability that is tried", hint=f"one of {', '.join(STEPS)}, {CROSS}"
        )
    needed = {step for one in capabilities for step in (*_NEEDED.get(one, ()), one)}
    return tuple(step for step in STEPS if step in needed), CROSS in needed


def releases_of(specs: Sequence[str], support: Support) -> tuple[str, ...]:
    """The releases of transformers that the options name: single versions (`4.43.1,4.51.3`), or ranges
    (`>=4.50,<4.53`), of which each minor series gives its last patch that was not yanked.

    Raises:
        UsageError: something is neither, or names no release.
    """
    found: set[str] = set()
    for spec in specs:
        try:
            versions = {str(Version(one.strip())) for one in spec.split(",")}
        except InvalidVersion:
            found |= _in_range(spec, support)
            continue
        unknown = sorted(versions - set(support.positions))
        if unknown:
            raise UsageError(
                f"`{unknown[0]}` is not a release of transformers that was collected", hint="envpin matrix collect"
            )
        found |= versions
    return tuple(sorted(found, key=Version))


def _in_range(spec: str, support: Support) -> set[str]:
    try:
        wanted = SpecifierSet(spec)
        if not wanted:
            raise InvalidSpecifier(spec)
    except InvalidSpecifier:
        raise UsageError(
            f"`{spec}` is neither versions nor a range of them", hint="such as `4.43.1,4.51.3` or `>=4.50,<4.53`"
        ) from None
    last: dict[str, str] = {}
    for release in support.transformers:
        if not release.yanked and wanted.contains(release.version):
            last[".".join(release.version.split(".")[:2])] = release.version
    if not last:
        raise UsageError(f"no release of transformers that was collected is in `{spec}`", hint="envpin matrix collect")
    return set(last.values())


def plan_sweep(
    families: Sequence[Family],
    support: Support,
    *,
    releases: Sequence[str] = (),
    held: Sequence[str] = (),
    python: str | None = None,
    capabilities: Sequence[str] = (),
    known: Sequence[str] = (),
) -> SweepPlan:
    """With `releases`, every family in every one of them: in the known-good environment that has the release, where
    there is one, else with the peft and torch of its time. Without, each family in its own known-good environments.

    Of the releases in `known` the outcomes are known: they only make the adapters that are taken elsewhere.
    `held` are requirements that hold in every environment (`torch==2.13.0`), whatever the matrix says.

    Raises:
        UsageError, InputError: what was asked for does not exist.
    """
    steps, crossing = wanted_steps(capabilities)
    climbs: dict[Pins, list[str]] = {}
    if releases:
        for release in releases:
            for pins in _of_release(release, families, support):
                chosen = climbs.setdefault(_holding(pins, held, python, support), [])
                chosen += (family.id for family in families if family.id not in chosen)
    else:
        for family in families:
            for good in family.known_good:
                chosen = climbs.setdefault(_holding(_pins(good), held, python, support), [])
                chosen += [family.id] if family.id not in chosen else []
    order = sorted(climbs, key=_order)
    settled = {pins: tuple(climbs[pins]) for pins in order}
    return SweepPlan(
        climbs=settled, crossings=_crossings(settled) if crossing else {}, steps=steps,
        known=frozenset(pins for pins in settled if pins.transformers in known),
    )  # fmt: skip


def _of_release(release: str, families: Iterable[Family], support: Support) -> list[Pins]:
    found = {_pins(good): None for family in families for good in family.known_good
             if good.packages.get("transformers") == release}  # fmt: skip
    if found:
        # The same pins may be kept with and without a lock, and with several dates.
        by_packages: dict[tuple[object, ...], Pins] = {}
        for pins in sorted(found, key=lambda one: (one.lock is None, one.exclude_newer)):
            by_packages.setdefault((pins.packages, pins.python), pins)
        return [*by_packages.values()]
    era = era_pins(release, support)
    if era is None:
        raise UsageError(f"`{release}` is not a release of transformers that was collected",
                         hint="envpin matrix collect")  # fmt: skip
    packages, python, newer = era
    return [Pins(packages=tuple(packages.items()), python=python, exclude_newer=newer)]


def _pins(good: KnownGood) -> Pins:
    return Pins(
        packages=tuple(good.packages.items()), python=good.python, exclude_newer=good.exclude_newer, lock=good.lock
    )


def _holding(pins: Pins, held: Sequence[str], python: str | None, support: Support) -> Pins:
    """`pins` with what is held; a committed lock no longer applies where that changes anything."""
    packages = dict(pins.packages)
    bounds: list[str] = []
    for line in held:
        requirement = Requirement(line)
        name = str(canonicalize_name(requirement.name))
        exact = [one.version for one in requirement.specifier if one.operator == "=="]
        if len(exact) == 1 and "*" not in exact[0] and len(requirement.specifier) == 1:
            if name == "transformers":
                raise UsageError("transformers is not held but chosen", hint="use `--transformers`")
            packages[name] = exact[0]
        else:
            bounds.append(str(requirement))
    made = replace(
        pins, packages=tuple(packages.items()), python=python or pins.python, bounds=tuple(bounds),
        exclude_newer=max(pins.exclude_newer, support.day_after(packages) or ""),
    )  # fmt: skip
    unchanged = (made.packages, made.python, made.bounds) == (pins.packages, pins.python, ())
    return pins if unchanged else replace(made, lock=None)


def _order(pins: Pins) -> tuple[Version, tuple[tuple[str, str], ...], str]:
    return Version(pins.transformers), pins.packages, pins.python


def _crossings(climbs: dict[Pins, tuple[str, ...]]) -> dict[tuple[Pins, Pins], tuple[str, ...]]:
    """Per family: from each environment into the next newer one, into the newest, and from the newest back into each.

    Upgrading after training is what people do; the way back shows whether an old environment still serves.
    """
    found: dict[tuple[Pins, Pins], list[str]] = {}
    for family in dict.fromkeys(name for names in climbs.values() for name in names):
        own = [pins for pins, names in climbs.items() if family in names]
        pairs = [*pairwise(own), *((one, own[-1]) for one in own), *((own[-1], one) for one in own)]
        for pair in dict.fromkeys(pairs):
            if pair[0] != pair[1]:
                found.setdefault(pair, []).append(family)
    return {pair: tuple(names) for pair, names in found.items()}


def choose_families(named: Sequence[str], known: dict[str, Family], recipes: Iterable[str]) -> tuple[Family, ...]:
    """The families to climb with: those named, or every one that has a tiny model. A shape of a family
    (`llama3.1/own-head-dim`) is climbed with as if it were one.

    Raises:
        InputError: one of them is no family, or has no tiny model.
    """
    made = set(recipes)
    problems = [
        f"{name}: is not a family of the matrix"
        if family_of(name) not in known
        else f"{name}: there is no tiny model of it"
        for name in named
        if family_of(name) not in known or name not in made
    ]
    if problems:
        raise InputError("these families cannot be verified", problems=problems, hint="envpin matrix list")
    wanted = named or sorted(name for name in made if family_of(name) in known)
    return tuple(msgspec.structs.replace(known[family_of(name)], id=name) for name in wanted)


def recipe_digest(recipe: Recipe) -> str:
    """What a tiny model is made from, in 12 hex digits: another recipe is another thing to verify."""
    return digest(json.dumps(msgspec.to_builtins(recipe), sort_keys=True))[:12]
