"""The releases to search: between two ends, in order of version, without what nobody would install. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from envpin.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class Published(Protocol):
    """What this module needs to know of a release (`envpin.remote.index.Release` is one)."""

    @property
    def version(self) -> str: ...
    @property
    def yanked(self) -> bool: ...
    @property
    def yanked_reason(self) -> str | None: ...
    @property
    def uploaded(self) -> datetime | None: ...
    @property
    def requires_python(self) -> str | None: ...


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A release that can be probed. `uploaded` is RFC 3339; `blocked` says why it cannot be tested here."""

    version: str
    uploaded: str | None = None
    blocked: str | None = None


class Axis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Candidates from the older end to the newer one, both included. `left_out` maps a version to why it is not in."""

    candidates: tuple[Candidate, ...]
    left_out: dict[str, str] = {}

    @property
    def versions(self) -> tuple[str, ...]:
        return tuple(candidate.version for candidate in self.candidates)

    def out_of_date_order(self) -> tuple[str, ...]:
        """Releases that appeared after a later version had: back-ports, where a change may have come and gone."""
        found, latest = [], ""
        for candidate in reversed(self.candidates):
            when = candidate.uploaded
            if when is None:
                continue
            if latest and when > latest:
                found.append(candidate.version)
            latest = min(latest, when) if latest else when
        return tuple(reversed(found))


def make_axis(
    package: str,
    published: Iterable[Published],
    *,
    old: str,
    new: str,
    python: str,
    prereleases: bool = False,
    yanked: bool = False,
) -> Axis:
    """Order the releases from `old` to `new`.

    Raises:
        UsageError: an end is not a version, the ends are in the wrong order, or there is nothing between them.
        InputError: the index has no such release.
    """
    low, high = _version(old), _version(new)
    if low >= high:
        raise UsageError(f"`{old}` is not older than `{new}`")
    releases = {Version(release.version): release for release in published}
    missing = [str(end) for end in (low, high) if end not in releases]
    if missing:
        raise InputError(
            f"the index has no release {' nor '.join(missing)} of `{package}`",
            problems=[f"nearest to {end}: {', '.join(_nearest(Version(end), releases))}" for end in missing],
        )
    candidates: list[Candidate] = []
    left_out: dict[str, str] = {}
    for version in sorted(releases):
        if not low <= version <= high:
            continue
        release = releases[version]
        reason = _reason_to_leave_out(release, version, prereleases=prereleases, yanked=yanked)
        if reason is not None and version not in {low, high}:
            left_out[str(version)] = reason
            continue
        candidates.append(
            Candidate(version=str(version), uploaded=upload_time(release), blocked=_blocked(release, python))
        )
    return Axis(candidates=tuple(candidates), left_out=left_out)


def upload_time(release: Published) -> str | None:
    """When the release first appeared, as RFC 3339 in UTC; None where the index does not say."""
    return None if release.uploaded is None else release.uploaded.isoformat().replace("+00:00", "Z")


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion as fault:
        raise UsageError(f"`{text}` is not a version", hint="give a released version, such as 4.43.1") from fault


def _nearest(wanted: Version, releases: Iterable[Version]) -> list[str]:
    ordered = sorted(releases)
    below = [version for version in ordered if version < wanted][-2:]
    above = [version for version in ordered if version > wanted][:2]
    return [str(version) for version in below + above] or ["nothing"]


def _reason_to_leave_out(release: Published, version: Version, *, prereleases: bool, yanked: bool) -> str | None:
    if version.is_prerelease and not prereleases:
        return "a pre-release"
    if release.yanked and not yanked:
        return f"yanked: {release.yanked_reason}" if release.yanked_reason else "yanked"
    return None


def _blocked(release: Published, python: str) -> str | None:
    if not release.requires_python:
        return None
    try:
        # A minor version stands for its last patch release.
        exact = f"{python}.99" if python.count(".") == 1 else python
        allowed = SpecifierSet(release.requires_python).contains(exact, prereleases=True)
    except InvalidSpecifier:
        return None  # the installer will judge it
    return None if allowed else f"needs Python {release.requires_python}, this search uses {python}"
