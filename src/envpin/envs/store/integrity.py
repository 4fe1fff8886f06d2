"""Installed bytes against what was installed: every file of every RECORD, and no importable file besides.

uv never looks at installed bytes again, and where it hard-links, an edit in one environment reaches its cache and
every other environment (docs/adr/0010). RECORD is the wheel's own list of digests; the receipt holds the digest of
each RECORD.
https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

from __future__ import annotations

import base64
import csv
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from envpin.core.files import digest_by, digest_of_file, knows_algorithm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.envs.store.receipt import Receipt

# What an interpreter imports or runs at start-up. Byte code under __pycache__ is written by the interpreter itself.
_IMPORTABLE = (".py", ".pth", ".so", ".pyd", ".dylib", ".pyc")
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Damage:
    """One file that is not as it was installed. `path` is relative to the environment; `package` is normalized."""

    path: str
    kind: Literal["changed", "missing", "extra"]
    package: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}" + (f" ({self.package})" if self.package else "")


class RecordedFile(NamedTuple):
    """One line of a RECORD: the file's absolute path, the digest as RECORD writes it (empty: none), the size in bytes.

    An environment has 15,000 of them, so paths are plain strings and digests are decoded only where a file is read.
    """

    path: str
    package: str
    digest: str
    size: int | None


def site_packages(environment: Path) -> Path:
    """The folder that distributions are installed in."""
    if os.name == "nt":
        return environment / "Lib" / "site-packages"
    found = sorted((environment / "lib").glob("python*/site-packages"))
    return found[0] if found else environment / "lib" / "site-packages"


def dist_infos(environment: Path) -> dict[str, Path]:
    """The `.dist-info` folder of each installed distribution, by normalized name."""
    from packaging.utils import canonicalize_name

    return {
        str(canonicalize_name(folder.name.removesuffix(".dist-info").rpartition("-")[0])): folder
        for folder in sorted(site_packages(environment).glob("*.dist-info"))
    }


def recorded_files(environment: Path, package: str, dist_info: Path) -> Iterator[RecordedFile]:
    """The lines of one RECORD. Lines that leave the environment are passed over: nothing outside is ours to judge."""
    root = str(dist_info.parent.absolute())
    prefix = str(environment.absolute()) + os.sep
    with (dist_info / "RECORD").open(encoding="utf-8", newline="") as stream:
        for row in csv.reader(stream):
            if len(row) != 3:
                continue
            name, digest, size = row
            if _plain(name):
                target = f"{root}{os.sep}{name}"
            else:
                target = os.path.normpath(os.path.join(root, name))  # noqa: PTH118  Path keeps `..`
                if not target.startswith(prefix):
                    continue
            yield RecordedFile(target, package, digest, int(size) if size.isdigit() else None)


def _plain(name: str) -> bool:
    """Whether joining the name to a folder needs no normalizing, and stays inside: so are all but a few scripts."""
    return os.sep == "/" and not name.startswith(("/", ".")) and "/." not in name and "//" not in name


def find_damage(environment: Path, receipt: Receipt, *, workers: int | None = None) -> tuple[Damage, ...]:
    """Compare every installed file with what the receipt vouches for. Reads everything.

    An empty result means that each file named by a RECORD has its recorded digest, each RECORD has the digest of the
    receipt, and nothing importable was added.
    """
    infos = dist_infos(environment)
    damage: list[Damage] = []
    expected: list[RecordedFile] = []
    for artifact in receipt.artifacts:
        info = infos.get(artifact.name)
        record = None if info is None else info / "RECORD"
        if info is None or record is None or not record.is_file():
            damage.append(
                Damage(path=f"{artifact.name}-{artifact.version}.dist-info", kind="missing", package=artifact.name)
            )
            continue
        if digest_of_file(record) != artifact.record_sha256:
            damage.append(Damage(path=_relative(record, environment), kind="changed", package=artifact.name))
            continue
        expected += recorded_files(environment, artifact.name, info)
    with ThreadPoolExecutor(max_workers=workers or min(8, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda one: _judge(one, environment, receipt.unrecorded), expected, chunksize=1)
        damage += [one for one in found if one is not None]
    damage += _extras(environment, {one.path for one in expected}, receipt.unrecorded)
    return tuple(sorted(damage, key=lambda one: (one.path, one.kind)))


def suspicious_packages(environment: Path) -> set[str]:
    """Packages of a fresh environment whose files may have been edited in uv's cache, found without reading them all.

    A file that uv links from its cache was last written when its wheel was unpacked, and `.dist-info` is unpacked last
    (the wheel specification puts it at the end of the archive). So a file is read only where its size is not the
    recorded one, or where it is newer than its own `.dist-info`. An edit that restores size and time escapes this;
    `find_damage` reads everything and does not let it through.
    """
    suspects: set[str] = set()
    for package, info in dist_infos(environment).items():
        unpacked = max((_linked_time(path) for path in info.iterdir()), default=0.0)
        for one in recorded_files(environment, package, info):
            try:
                status = os.stat(one.path)  # noqa: PTH116  15,000 of them
            except OSError:
                suspects.add(package)
                break
            other_size = one.size is not None and one.size != status.st_size
            newer = status.st_nlink > 1 and status.st_mtime > unpacked + 1
            if one.digest and (other_size or newer) and not matches_record(one):
                suspects.add(package)
                break
    return suspects


def _linked_time(path: Path) -> float:
    """When a file that is linked from uv's cache was written; what the build itself wrote does not count."""
    status = path.stat()
    return status.st_mtime if status.st_nlink > 1 else 0.0


def unrecorded_files(environment: Path) -> dict[str, str]:
    """Importable files of site-packages that no RECORD lists, with their sha256, by path in the environment."""
    listed = {
        one.path
        for package, info in dist_infos(environment).items()
        for one in recorded_files(environment, package, info)
    }
    return {
        _relative(path, environment): digest_of_file(path) for path in _importable(environment) if path not in listed
    }


def _judge(one: RecordedFile, environment: Path, overrides: Mapping[str, str]) -> Damage | None:
    relative = _relative(one.path, environment)
    try:
        good = digest_of_file(one.path) == overrides[relative] if relative in overrides else matches_record(one)
    except OSError:
        return Damage(path=relative, kind="missing", package=one.package)
    return None if good else Damage(path=relative, kind="changed", package=one.package)


def matches_record(one: RecordedFile) -> bool:
    """Whether the bytes are the recorded ones; byte code and RECORD itself have no digest and only need to exist."""
    digest = _digest(one.digest)
    if digest is None:
        # A .pyc that pip compiled is rewritten at will by the interpreter.
        return one.path.endswith(".pyc") or os.path.exists(one.path)  # noqa: PTH110
    algorithm, expected = digest
    return digest_by(algorithm, one.path) == expected


def _extras(environment: Path, listed: set[str], known: Mapping[str, str]) -> Iterator[Damage]:
    for path in _importable(environment):
        if path in listed:
            continue
        relative = _relative(path, environment)
        if relative not in known:
            yield Damage(path=relative, kind="extra")
        elif digest_of_file(path) != known[relative]:
            yield Damage(path=relative, kind="changed")
    for relative in known:
        place = environment.absolute() / relative
        if not place.exists() and str(place) not in listed:
            yield Damage(path=relative, kind="missing")


def _importable(environment: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(site_packages(environment).absolute()):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            if name.endswith(_IMPORTABLE):
                yield f"{folder}{os.sep}{name}"


def _relative(path: str | Path, environment: Path) -> str:
    return Path(path).absolute().relative_to(environment.absolute()).as_posix()


def _digest(field: str) -> tuple[str, str] | None:
    algorithm, _, value = field.partition("=")
    if not value or not knows_algorithm(algorithm):
        return None
    return algorithm, base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
