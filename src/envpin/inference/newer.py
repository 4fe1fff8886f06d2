"""Releases that a file names and that were not collected yet: the index knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import Version

from envpin.core.errors import InputError, NetworkError
from envpin.core.events import Note, ignore
from envpin.inference.pythons import PYTHON
from envpin.inference.versions import parse
from envpin.remote.index import Index

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.core.events import Listener
    from envpin.inference.combine import Signal
    from envpin.inference.versions import Known


def with_newer(
    known: Mapping[str, Known], signals: Iterable[Signal], *, offline: bool = False, listener: Listener = ignore
) -> Mapping[str, Known] | None:
    """`known` with the releases that some files state, that are newer than all collected ones, and that the index
    lists; None where there is none. An index that does not answer is a note, not an error.
    """
    named = (one for one in signals if one.stated and one.package != PYTHON)
    asked = {one.package for one in named if _is_newer(one.says, known[one.package])}
    found = dict(known)
    for package in sorted(asked):
        try:
            releases = Index(offline=offline).releases(package)
        except (NetworkError, InputError) as error:
            listener(Note(message=f"whether there is a newer {package} was not asked: {error.message}"))
            continue
        newest = Version(found[package].versions[-1])
        for release in releases:
            if not release.is_prerelease and release.files and Version(release.version) > newest:
                day = release.uploaded.date().isoformat() if release.uploaded else ""
                found[package] = found[package].joined(release.version, day)
    return found if any(found[name].versions != known[name].versions for name in found) else None


def _is_newer(says: str, releases: Known) -> bool:
    words = [parsed for word in says.replace(",", " ").split() if (parsed := parse(word)) is not None]
    return bool(words) and Version(words[0].public) > Version(releases.versions[-1])
