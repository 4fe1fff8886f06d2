"""Sets of releases: what is known to exist, and what a set is called. Pure.

A set holds releases that exist, not an interval of numbers: `≥ 4.57, < 5` is a handful of versions, and nothing that
was never released can be an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from envpin.matrix.fields import load_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The packages that a merge depends on and that leave traces.
PACKAGES = ("peft", "transformers", "torch", "tokenizers")
# The longest text that can be a version: hostile ones are longer.
_LONGEST = 60


@dataclass(frozen=True, kw_only=True)
class Known:
    """The releases of one package, oldest first, with the day each appeared."""

    package: str
    versions: tuple[str, ...]
    dates: Mapping[str, str]
    yanked: frozenset[str] = frozenset()

    @cached_property
    def everything(self) -> frozenset[str]:
        return frozenset(self.versions)

    @cached_property
    def position(self) -> Mapping[str, int]:
        return {version: at for at, version in enumerate(self.versions)}

    def within(self, specifiers: str) -> frozenset[str]:
        """Those that satisfy a specifier set; all where it is none."""
        try:
            return frozenset(version for version in self.versions if allows(specifiers, version))
        except InvalidSpecifier:
            return self.everything

    def stated(self, text: str) -> frozenset[str]:
        """The releases that a stated version stands for; empty where no such release is known.

        A local build (`2.1.0+cu121`) is its release. A development version (`4.38.0.dev0`) was made between two
        releases, so it stands for the last before it and the first after it, whatever their numbers: peft calls its
        main branch 0.6.3.dev0 after 0.6.2, and released 0.7.0 next. A candidate (`5.0.0rc1`) is nearest to the release
        that it became. A number of two parts (`0.11`) is a series.
        """
        version = parse(text)
        if version is None:
            return frozenset()
        if version.public in self.everything:
            return frozenset({version.public})
        if version.is_prerelease and not version.is_devrelease and version.base_version in self.everything:
            return frozenset({version.base_version})
        if version.is_devrelease or version.is_prerelease:
            later = [one for one in self.versions if Version(one) > version]
            earlier = [one for one in self.versions if Version(one) < version]
            return frozenset([*earlier[-1:], *later[:1]])
        if len(version.release) == 2:
            return frozenset(one for one in self.versions if Version(one).release[:2] == version.release)
        return frozenset(one for one in self.versions if Version(one) == Version(version.public))

    def ordered(self, versions: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(versions, key=self.position.__getitem__))

    def minors(self, versions: Iterable[str]) -> tuple[str, ...]:
        """The minor series (`4.38`) of some releases, oldest first."""
        return tuple(dict.fromkeys(minor(one) for one in self.ordered(versions)))

    def settled(self, versions: Iterable[str]) -> tuple[str, ...]:
        """The last release of each minor series among some, yanked ones only where nothing else is left."""
        best: dict[str, str] = {}
        for version in self.ordered(versions):
            if version not in self.yanked or minor(version) not in best:
                best[minor(version)] = version
        return tuple(best.values())

    def describe(self, versions: Iterable[str]) -> str:
        """A set in words: `4.38.2`, `≥ 4.45.0`, `≤ 4.33.3`, `0.10.0 to 0.13.2`, several of these, `any`, `none`."""
        chosen = self.ordered(versions)
        if not chosen:
            return "none"
        if len(chosen) == len(self.versions):
            return "any"
        runs: list[list[int]] = []
        for at in (self.position[one] for one in chosen):
            if runs and runs[-1][1] == at - 1:
                runs[-1][1] = at
            else:
                runs.append([at, at])
        parts = [self._run(first, last) for first, last in runs]
        return " or ".join(parts) if len(parts) <= 4 else f"{' or '.join(parts[:3])} or {len(parts) - 3} more"

    def _run(self, first: int, last: int) -> str:
        if first == last:
            return self.versions[first]
        if last == len(self.versions) - 1:
            return f"≥ {self.versions[first]}"
        if first == 0:
            return f"≤ {self.versions[last]}"
        return f"{self.versions[first]} to {self.versions[last]}"

    def joined(self, version: str, date: str) -> Known:
        """The same with one more release: one that the index lists and that was not collected yet."""
        versions = sorted({*self.versions, version}, key=Version)
        return replace(self, versions=tuple(versions), dates={**self.dates, version: date})


def parse(text: object) -> Version | None:
    """A version, or None for anything else. peft writes `0.18.0.dev0@<commit>` for a checkout."""
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    try:
        return Version(text.partition("@")[0])
    except InvalidVersion:
        return None


@cache
def allows(specifiers: str, version: str) -> bool:
    """Whether a specifier set lets a release in; the same few hundred pairs are asked for again and again.

    Raises:
        InvalidSpecifier: it is none.
    """
    return _specifiers(specifiers).contains(version, prereleases=True)


@cache
def _specifiers(text: str) -> SpecifierSet:
    return SpecifierSet(text)


def releases_at(spans: Iterable[tuple[int, int]], known: Known) -> frozenset[str]:
    """The releases at some positions of what was collected; one that is newer than that is like the newest."""
    found = _collected_at(tuple(spans), known.package)
    newest = load_fields().packages[known.package].releases[-1]
    later = known.position[newest] + 1 if newest in found else len(known.versions)
    return found.union(known.versions[later:]) if later < len(known.versions) else found


@lru_cache(maxsize=4096)  # several hundred fields, asked for again with every adapter of a scan
def _collected_at(spans: tuple[tuple[int, int], ...], package: str) -> frozenset[str]:
    releases = load_fields().packages[package].releases
    return frozenset(version for first, last in spans for version in releases[first : last + 1])


def minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def known_releases() -> dict[str, Known]:
    """What was collected about each of `PACKAGES`.

    Raises:
        InputError: the collected data cannot be read.
    """
    facts = load_fields().packages
    return {
        name: Known(
            package=name,
            versions=facts[name].releases,
            dates=dict(zip(facts[name].releases, facts[name].dates, strict=True)),
            yanked=frozenset(facts[name].yanked),
        )
        for name in PACKAGES
    }
