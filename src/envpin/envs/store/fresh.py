"""A fresh environment against the RECORDs of its wheels, without reading it all: uv's cache may have been edited."""

from __future__ import annotations

import gc
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpin.envs.store.integrity import (
    RecordedFile,
    content_of,
    dist_infos,
    listed,
    matches_record,
    recorded_files,
    relative_to,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class FreshFiles:
    """A fresh environment, listed once: what is there, and what the RECORDs name, all by the path in it.

    `infos` is the folder of each `.dist-info` by package, `recorded` the lines of its RECORD. `contested` are files
    that several wheels bring, each with other bytes: whichever uv installed last is there.
    """

    root: Path
    there: Mapping[str, os.stat_result]
    infos: Mapping[str, str]
    recorded: Mapping[str, Mapping[str, RecordedFile]]
    contested: AbstractSet[str]

    def suspicious_packages(self) -> set[str]:
        """Packages whose files may have been edited in uv's cache, found without reading them all.

        A file that uv links from its cache was last written when its wheel was unpacked, and `.dist-info` is unpacked
        last (the wheel specification puts it at the end of the archive). So a file is read only where its size is not
        the recorded one, or where it is newer than its own `.dist-info`. An edit that restores size and time escapes
        this; `find_damage` reads everything and does not let it through.
        """
        unpacked = self._unpacked()
        found = {
            package
            for package, files in self.recorded.items()
            if self._is_suspicious(files, unpacked.get(self.infos[package]))
        }
        for name in self.contested:
            lines = [files[name] for files in self.recorded.values() if name in files]
            if not any(matches_record(self.root, one) for one in lines):
                found.update(one.package for one in lines)
        return found

    def _unpacked(self) -> dict[str, float]:
        """When the last file of each `.dist-info` was written that uv's cache shares: what the build itself wrote does
        not count."""
        found: dict[str, float] = {}
        for name, status in self.there.items():
            if ".dist-info/" in name and status.st_nlink > 1:
                folder, _, _ = name.rpartition("/")
                found[folder] = max(found.get(folder, 0.0), status.st_mtime)
        return found

    def doubtful_packages(self) -> set[str]:
        """Packages with a file that is newer than its `.dist-info`, and of which RECORD has no digest to tell more."""
        unpacked = self._unpacked()
        return {
            package
            for package, files in self.recorded.items()
            for name, one in files.items()
            if not one.digest
            and (status := self.there.get(name)) is not None
            and status.st_nlink > 1
            and status.st_mtime > unpacked.get(self.infos[package], 0.0) + 1
        }

    def _is_suspicious(self, files: Mapping[str, RecordedFile], unpacked: float | None) -> bool:
        settled = (unpacked or 0.0) + 1
        for name, one in files.items():
            status = self.there.get(name)
            if status is None:
                if "__pycache__" not in name:  # byte code is written at will, and was not listed
                    return True
                continue
            other_size = status.st_size != one.size and one.size is not None
            moved = status.st_nlink > 1 and status.st_mtime > settled
            if not (other_size or moved or stat.S_ISLNK(status.st_mode)):
                continue
            if one.digest and name not in self.contested and not matches_record(self.root, one):
                return True
        return False

    def unrecorded(self) -> dict[str, str]:
        """What no RECORD has a digest of, by its path in the environment: the sha256 of each file, `link:TARGET` of
        each link. Among them are files that a wheel does not list: uv adds them to RECORD, without a digest."""
        known = {name for files in self.recorded.values() for name, one in files.items() if one.digest}
        known -= self.contested
        known.update(f"{info}/RECORD" for info in self.infos.values())  # the receipt names the digest of each
        return {name: content_of(self.root / name) for name in self.there if name not in known}


def fresh_files(environment: Path) -> FreshFiles:
    """List an environment that was just built."""
    collecting = gc.isenabled()
    gc.disable()  # tens of thousands of small objects, all of which stay: looking for cycles took a third of the time
    try:
        return _fresh_files(environment.absolute())
    finally:
        if collecting:
            gc.enable()


def _fresh_files(root: Path) -> FreshFiles:
    infos = dist_infos(root)
    recorded = {
        package: {one.name: one for one in recorded_files(root, package, info)} for package, info in infos.items()
    }
    return FreshFiles(
        root=root,
        there=dict(listed(root)),
        infos={package: relative_to(info, root) for package, info in infos.items()},
        recorded=recorded,
        contested=contested_files(recorded.values()),
    )


def contested_files(recorded: Collection[Mapping[str, RecordedFile]]) -> set[str]:
    """The files that several RECORDs name, with other digests."""
    if len(set().union(*recorded)) == sum(map(len, recorded)):
        return set()
    digests: dict[str, set[str]] = {}
    for files in recorded:
        for name, one in files.items():
            digests.setdefault(name, set()).add(one.digest)
    return {name for name, found in digests.items() if len(found) > 1}
