"""What an index says: releases and their files, read from one page of the JSON simple API. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINUX = re.compile(r"linux\w*_x86_64\.whl$")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseFile:
    """One artifact. `sha256` is absent where the index does not say it; `size` is in bytes.

    `has_metadata` says that the index serves the file's METADATA on its own (PEP 658).
    """

    filename: str
    url: str
    sha256: str | None
    size: int | None
    uploaded: datetime | None
    yanked: bool
    has_metadata: bool = False

    @property
    def is_wheel(self) -> bool:
        return self.filename.endswith(".whl")


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One version of a package. `uploaded` is when its first file appeared; `yanked` when all of its files are."""

    version: str
    uploaded: datetime | None
    yanked: bool
    yanked_reason: str | None
    requires_python: str | None
    files: tuple[ReleaseFile, ...]

    @property
    def is_prerelease(self) -> bool:
        parsed = Version(self.version)
        return parsed.is_prerelease or parsed.is_devrelease

    @property
    def wheel(self) -> ReleaseFile | None:
        """The pure wheel (`…-none-any.whl`) where there is one, else the first wheel."""
        wheels = [file for file in self.files if file.is_wheel]
        return next((file for file in wheels if file.filename.endswith("-none-any.whl")), wheels[0] if wheels else None)

    @property
    def linux_wheel(self) -> ReleaseFile | None:
        """The pure wheel where there is one, else one for Linux on x86-64, else the first: metadata and contents of
        the wheels for other machines may be others."""
        here = [file for file in self.files if _LINUX.search(file.filename)]
        pure = self.wheel
        return pure if pure is None or pure.filename.endswith("-none-any.whl") or not here else here[0]

    @property
    def source(self) -> ReleaseFile | None:
        """The source distribution, as a `.tar.gz`."""
        return next((file for file in self.files if file.filename.endswith(".tar.gz")), None)


def parse_releases(page: Mapping[str, Any], name: str, *, base: str) -> list[Release]:
    """The releases of a page of package `name`, oldest version first. Entries that make no sense are left out."""
    grouped: dict[Version, list[Mapping[str, object]]] = {}
    for entry in page["files"]:
        version = _version_of(entry.get("filename"), name) if isinstance(entry, dict) else None
        if version is not None and _is_url(entry.get("url"), base):
            grouped.setdefault(version, []).append(entry)
    return [_release(version, grouped[version], base=base) for version in sorted(grouped)]


def _release(version: Version, entries: list[Mapping[str, Any]], *, base: str) -> Release:
    files = tuple(_file(entry, base) for entry in entries)
    times = [file.uploaded for file in files if file.uploaded is not None]
    reasons = [entry["yanked"] for entry in entries if isinstance(entry.get("yanked"), str)]
    pythons = [entry["requires-python"] for entry in entries if isinstance(entry.get("requires-python"), str)]
    return Release(
        version=str(version),
        uploaded=min(times) if times else None,
        yanked=all(file.yanked for file in files),
        yanked_reason=reasons[0] if reasons else None,
        requires_python=pythons[0] if pythons else None,
        files=files,
    )


def _file(entry: Mapping[str, Any], base: str) -> ReleaseFile:
    hashes = entry.get("hashes")
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
    size = entry.get("size")
    return ReleaseFile(
        filename=entry["filename"],
        url=urljoin(base, entry["url"]).partition("#")[0],
        sha256=sha256 if _is_sha256(sha256) else None,
        size=size if isinstance(size, int) else None,
        uploaded=_time(entry.get("upload-time")),
        yanked=bool(entry.get("yanked", False)),
        has_metadata=bool(entry.get("core-metadata") or entry.get("dist-info-metadata")),
    )


def _version_of(filename: object, name: str) -> Version | None:
    """The version that a file name carries; None for other packages' files and for names that are no plain names."""
    if not isinstance(filename, str) or "/" in filename or "\\" in filename or filename.startswith("."):
        return None
    try:
        if filename.endswith(".whl"):
            owner, version = parse_wheel_filename(filename)[:2]
        else:
            owner, version = parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None
    return version if owner == name else None


def _is_url(text: object, base: str) -> bool:
    try:
        return isinstance(text, str) and bool(urljoin(base, text))
    except ValueError:  # brackets around what is no address
        return False


def _is_sha256(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)


def _time(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
