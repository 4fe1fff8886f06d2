"""From version sets to pins that fit each other: which environment to try first, and which ones after it. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import Version

from envpin.core.eras import SETTLING_DAYS, python_of
from envpin.inference.combine import likelihood
from envpin.inference.pythons import PYTHON, has_torch, stated_python
from envpin.inference.versions import allows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.inference.combine import Range
    from envpin.inference.versions import Known
    from envpin.matrix.support import PeftFacts, Support
    from envpin.matrix.types import Relation

    _Reign = tuple[dt.date, dt.date]

# Where peft or transformers changed what adapters are called or what can be imported: docs/explanation/inference.md.
_TRANSFORMERS_ERAS = tuple(map(Version, ("4.43", "4.52", "5.0")))
_PEFT_ERAS = tuple(map(Version, ("0.10", "0.14", "0.16", "0.18", "0.19")))
# A point of distance for as many days as one minor series of peft is the newest (median of 22 series: 56 days).
_DAYS_OF_A_POINT = 60
_NEVER_RELEASED = ">=0.18.2"  # what transformers 5.6 to 5.12 ask of peft


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidatePins:
    """Pins that exist and, as far as their imports and requirements tell, work together.

    `exclude_newer` is the day until which what is not pinned may come from; `why` says what put it where it stands.
    """

    pins: Mapping[str, str]
    python: str
    exclude_newer: str
    why: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Preferences:
    """What speaks for some pairs beyond the files. `kind` is the base's model type, None where unknown or remote code;
    `pins` are the known-good ones of the base's family; `day` is the run's day at the latest; `relations` are those
    of the matrix."""

    kind: str | None = None
    pins: Mapping[str, str] | None = None
    day: dt.date | None = None
    relations: tuple[Relation, ...] = ()


def candidates(
    ranges: Mapping[str, Range], known: Mapping[str, Known], support: Support, preferences: Preferences
) -> tuple[CandidatePins, ...]:
    """Every sensible pair of peft and transformers within the ranges, most likely first, with a torch of their time.

    Of each minor series its last release stands for all; a version that a file states stands for itself. After the
    first, the best of each era come before their neighbours: where one release is wrong, the next patch is too.
    """
    peft = _options(ranges["peft"], known["peft"], preferences)
    transformers = _options(ranges["transformers"], known["transformers"], preferences)
    facts = {one.version: one for one in support.peft}
    released = tuple(facts)
    requirements = {version: support.requirements(version) for version in transformers}
    pairs = [(one, other) for one in peft for other in transformers]

    def fitting(*, floors: bool) -> list[tuple[str, str]]:
        return [
            (one, other)
            for one, other in pairs
            if fits(
                one, other, facts.get(one), support, preferences, released=released,
                floor=requirements[other].get("peft") if floors else None,
            )
        ]  # fmt: skip

    # The floor that transformers declares counts for its own loader of adapters; peft's, which trained, runs below it.
    chosen = fitting(floors=True) or fitting(floors=False)
    reigns = (
        {version: _reign(version, known["peft"]) for version in peft},
        {version: _reign(version, known["transformers"]) for version in transformers},
    )
    scored = [
        (_score(one, other, ranges, known, preferences, reigns=(reigns[0][one], reigns[1][other])), one, other)
        for one, other in chosen
    ]
    scored.sort(key=lambda entry: (-entry[0], known["peft"].position[entry[1]], entry[2]))
    ordered = _by_era([(one, other) for _, one, other in scored])
    return tuple(
        found
        for one, other in ordered
        if (found := _candidate({"transformers": other, "peft": one}, ranges, known, requirements[other], preferences))
    )


def conflict(
    ranges: Mapping[str, Range], known: Mapping[str, Known], support: Support, preferences: Preferences
) -> str | None:
    """Why the newest pair within the ranges does not fit, in words; None where nothing stands in its way."""
    peft = _options(ranges["peft"], known["peft"], preferences)
    transformers = _options(ranges["transformers"], known["transformers"], preferences)
    if not peft or not transformers:
        return None
    pair = {"peft": max(peft, key=Version), "transformers": max(transformers, key=Version)}
    one, other = f"peft {pair['peft']}", f"transformers {pair['transformers']}"
    facts = {found.version: found for found in support.peft}.get(pair["peft"])
    if facts is not None and (missing := support.missing_names(facts, pair["transformers"])):
        return f"{one} imports `{missing[0]}`, which {other} does not have"
    if preferences.kind is not None and support.knows(pair["transformers"], preferences.kind) is False:
        return f"{other} does not know `{preferences.kind}`"
    for rule in preferences.relations:
        if not {rule.package, rule.other} <= set(pair) or not allows(rule.versions, pair[rule.package]):
            continue
        if not allows(rule.needs, pair[rule.other]):
            return f"{rule.package} {pair[rule.package]} needs {rule.other} {rule.needs} ({rule.reason})"
    return None


def fits(
    peft: str,
    transformers: str,
    facts: PeftFacts | None,
    support: Support,
    preferences: Preferences,
    *,
    released: tuple[str, ...],
    floor: str | None = None,
) -> bool:
    """Whether that peft can be imported beside that transformers, satisfies its `floor`, and knows the base's type.

    `released` is every peft there is.
    """
    if facts is not None and support.missing_names(facts, transformers):
        return False
    if floor is not None and floor != _NEVER_RELEASED and not _met(floor, peft, released):
        return False
    if preferences.kind is not None and support.knows(transformers, preferences.kind) is False:
        return False
    pair = {"peft": peft, "transformers": transformers}
    return not any(
        allows(one.versions, pair[one.package])
        and not _met(one.needs, pair[one.other], released if one.other == "peft" else ())
        for one in preferences.relations
        if one.package in pair and one.other in pair
    )


def _met(needs: str, version: str, released: tuple[str, ...]) -> bool:
    """Whether `version` is what is asked for. What no release is (transformers 5.24 and peft 0.22) rules none out:
    people trained with that transformers all the same.
    """
    return allows(needs, version) or (bool(released) and not any(allows(needs, one) for one in released))


def _options(found: Range, releases: Known, preferences: Preferences) -> tuple[str, ...]:
    usable = [version for version in found.versions if version not in releases.yanked] or list(found.versions)
    if found.stated and len(usable) <= 2:
        return tuple(reversed(usable))
    settled = list(releases.settled(usable))
    own = (preferences.pins or {}).get(releases.package)
    if own in usable and own not in settled:
        settled.append(own)
    hinted = found.hinted
    settled += [version for version in usable if version in hinted and version not in settled]
    return tuple(settled)


def _score(
    peft: str,
    transformers: str,
    ranges: Mapping[str, Range],
    known: Mapping[str, Known],
    preferences: Preferences,
    *,
    reigns: tuple[_Reign | None, _Reign | None],
) -> float:
    pins = preferences.pins or {}
    score = float(likelihood(peft, ranges["peft"].signals) + likelihood(transformers, ranges["transformers"].signals))
    score += 1.5 * (pins.get("transformers") == transformers) + 0.5 * (pins.get("peft") == peft)
    one, other = reigns
    if one is not None and other is not None:
        score -= _apart(one, other) / _DAYS_OF_A_POINT
        if preferences.day is not None:
            day = (preferences.day, preferences.day)
            score -= (_apart(one, day) + _apart(other, day)) / (2 * _DAYS_OF_A_POINT)
    # Else the newer: its mistakes were seen for longer by those who came after.
    return score + known["peft"].position[peft] / 10_000 + known["transformers"].position[transformers] / 100_000


def _reign(version: str, releases: Known) -> _Reign | None:
    """From the day a minor series appeared to the day the next one did: when `pip install` gave it."""
    series = version.split(".")[:2]
    same = [one for one in releases.versions if one.split(".")[:2] == series]
    after = releases.versions[releases.position[same[-1]] + 1 :]
    first = releases.dates.get(same[0], "")
    last = releases.dates.get(after[0], "") if after else str(dt.date.max)
    return (dt.date.fromisoformat(first), dt.date.fromisoformat(last)) if first and last else None


def _apart(one: _Reign, other: _Reign) -> int:
    """Days between two spans; 0 where they meet."""
    return max(0, (other[0] - one[1]).days, (one[0] - other[1]).days)


def _by_era(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    first: dict[tuple[int, int], tuple[str, str]] = {}
    rest: list[tuple[str, str]] = []
    for pair in pairs:
        era = (_era(pair[0], _PEFT_ERAS), _era(pair[1], _TRANSFORMERS_ERAS))
        if era in first:
            rest.append(pair)
        else:
            first[era] = pair
    return [*first.values(), *rest]


def _era(version: str, bounds: tuple[Version, ...]) -> int:
    parsed = Version(version)
    return sum(parsed >= bound for bound in bounds)


def _candidate(
    pair: Mapping[str, str],
    ranges: Mapping[str, Range],
    known: Mapping[str, Known],
    requirements: Mapping[str, str],
    preferences: Preferences,
) -> CandidatePins | None:
    pins, transformers = dict(pair), pair["transformers"]
    dates = [date for date in (known[name].dates.get(version) for name, version in pins.items()) if date]
    if not dates:
        return None
    released = dt.date.fromisoformat(max(dates))
    # Not a day to come: a lock made on it would still change.
    newer = max(released, min(released + dt.timedelta(days=SETTLING_DAYS), dt.datetime.now(dt.UTC).date()))
    wanted = requirements.get("python")
    python = stated_python(ranges.get(PYTHON), wanted)
    torch = _torch(ranges["torch"], known["torch"], str(newer), requirements.get("torch"), python)
    if torch is not None:
        pins["torch"] = torch
        newer = max(newer, dt.date.fromisoformat(known["torch"].dates[torch] or str(newer)))
    why = []
    family = preferences.pins or {}
    if family.get("transformers") == transformers:
        why.append("the transformers that the matrix pins for this base")
    if python is None or (torch is not None and not has_torch(python, torch)):
        python = python_of(str(newer))
        if wanted and not allows(wanted, f"{python}.0"):
            python = "3.12"
    return CandidatePins(pins=pins, python=python, exclude_newer=str(newer), why=tuple(why))


def _torch(found: Range, releases: Known, day: str, wanted: str | None, python: str | None) -> str | None:
    """The newest of that day that the range, transformers' own requirement and the run's Python let in; else the oldest
    after it."""
    allowed = [version for version in found.versions if version not in releases.yanked]
    if python is not None and not found.stated:
        allowed = [version for version in allowed if has_torch(python, version)] or allowed
    if wanted:
        allowed = [version for version in allowed if allows(wanted, version)] or allowed
    if found.stated:
        return allowed[-1] if allowed else None
    hinted = found.hinted
    if named := [version for version in allowed if version in hinted]:
        return named[-1]
    before = [version for version in allowed if releases.dates[version] and releases.dates[version] <= day]
    return before[-1] if before else next(iter(allowed), None)
