"""Installed bytes against what was installed: every file and every link of an environment, and nothing besides.

uv never looks at installed bytes again, and where it hard-links, an edit in one environment reaches its cache and
every other environment (docs/adr/0010). RECORD is the wheel's own list of digests; the receipt holds the digest of
each RECORD, and lists every file and link that no RECORD names. Only byte code under `__pycache__`, which interpreters
write at will, is not looked at: workers do not run it (host/bytecode.py).
https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

from __future__ import annotations

import base64
import contextlib
import csv
import gc
import io
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from envpin.core.files import digest_by, digest_of_file, exists, knows_algorithm, remove_unfinished
from envpin.core.marks import RECEIPT
from envpin.envs.store.environment import NEEDED_BY, SIZE, USED, site_packages
from envpin.envs.store.remembered import HASHED, Fingerprint, fingerprint_of, read_remembered, remember

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.envs.store.receipt import Receipt

# What envpin itself writes into a finished environment.
_OURS = frozenset({RECEIPT, USED, HASHED, SIZE, NEEDED_BY})
_LINK = "link:"


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Damage:
    """One file that is not as it was installed. `path` is relative to the environment; `package` is normalized."""

    path: str
    kind: Literal["changed", "missing", "extra"]
    package: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}" + (f" ({self.package})" if self.package else "")


class RecordedFile(NamedTuple):
    """One line of a RECORD: the file by its path in the environment, the digest as RECORD writes it (empty: none), the
    size in bytes.

    An environment has 15,000 of them, so paths are plain strings and digests are decoded only where a file is read.
    """

    name: str
    package: str
    digest: str
    size: int | None


def dist_infos(environment: Path) -> dict[str, Path]:
    """The `.dist-info` folder of each installed distribution, by normalized name."""
    from packaging.utils import canonicalize_name

    return {
        str(canonicalize_name(folder.name.removesuffix(".dist-info").rpartition("-")[0])): folder
        for folder in sorted(site_packages(environment).glob("*.dist-info"))
    }


def recorded_files(environment: Path, package: str, dist_info: Path) -> Iterator[RecordedFile]:
    """The lines of one RECORD. Lines that leave the environment are passed over: nothing outside is ours to judge."""
    folder = _relative(dist_info.parent, environment)
    with (dist_info / "RECORD").open(encoding="utf-8", newline="") as stream:
        text = stream.read()
    all_plain = _is_plain(text) and not any(mark in text for mark in ("\n/", "\n."))
    for row in _rows(text):
        if len(row) != 3:
            continue
        name, digest, size = row
        if all_plain or _is_plain(name):
            inside = f"{folder}/{name}"
        else:
            inside = os.path.normpath(f"{folder}/{name}").replace(os.sep, "/")
            if name.startswith("/") or inside.startswith(("../", "/")):
                continue
        yield RecordedFile(inside, package, digest, int(size) if size.isdecimal() and len(size) < 19 else None)


def _rows(text: str) -> Iterator[list[str]]:
    """As csv.reader, which takes five times as long for what nearly every RECORD is: nothing in quotes."""
    if '"' in text or "\r" in text:
        return csv.reader(io.StringIO(text, newline=""))
    return (line.split(",") for line in text.split("\n"))


def _is_plain(name: str) -> bool:
    """Whether joining the name to a folder needs no normalizing, and stays inside: so are all but a few scripts."""
    return os.sep == "/" and not name.startswith(("/", ".")) and "/." not in name and "//" not in name


def find_damage(
    environment: Path, receipt: Receipt, *, workers: int | None = None, everything: bool = True
) -> tuple[Damage, ...]:
    """Compare every installed file with what the receipt vouches for.

    An empty result means that each file named by a RECORD has its recorded digest, each RECORD and each file besides
    has the digest of the receipt, each link has its target, and nothing was added. `everything` reads every byte again;
    else only files are read that moved since they were last hashed (`envpin.envs.store.remembered`).
    """
    began = time.time_ns()
    remove_unfinished(environment)  # of what is remembered here; all other files are somebody's
    there = dict(entries(environment))
    known = {} if everything else read_remembered(environment)
    if known and known == there:
        return ()
    expected, damage = _expected(environment, receipt)
    listed = expected.keys() | receipt.unrecorded.keys()
    damage += [Damage(path=name, kind="extra") for name in there.keys() - listed]
    damage += [Damage(path=name, kind="missing", package=_package(expected, name)) for name in listed - there.keys()]
    fresh = [name for name in listed & there.keys() if there[name] != known.get(name)]
    with ThreadPoolExecutor(max_workers=workers or min(8, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda name: _judge(name, expected.get(name), environment, receipt.unrecorded), fresh)
        damage += [one for one in found if one is not None]
    if not damage:
        remember(environment, there, began=began)
    return tuple(sorted(damage, key=lambda one: (one.path, one.kind)))


def entries(environment: Path) -> Iterator[tuple[str, Fingerprint]]:
    """Every file and link below an environment, by its path in it. No link is followed, `__pycache__` is left out."""
    return ((name, fingerprint_of(status)) for name, status in _listed(environment))


def _listed(environment: Path) -> Iterator[tuple[str, os.stat_result]]:
    root = str(environment.absolute())
    folders = [""]
    while folders:
        folder = folders.pop()
        with _scanned(f"{root}/{folder}") as found:
            for one in found:
                name = one.name
                if one.is_dir(follow_symlinks=False):
                    if name != "__pycache__":
                        folders.append(f"{folder}{name}/")
                elif folder or name not in _OURS:
                    yield folder + name, one.stat(follow_symlinks=False)


@contextlib.contextmanager
def _scanned(folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
    """Its entries. By a descriptor each is looked up in the folder itself, not from the root of the system: a third of
    the time."""
    if os.scandir not in os.supports_fd:
        with os.scandir(folder) as found:
            yield found
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with os.scandir(descriptor) as found:
            yield found
    finally:
        os.close(descriptor)


def _expected(environment: Path, receipt: Receipt) -> tuple[dict[str, RecordedFile], list[Damage]]:
    """The files that the RECORDs name, by their path in the environment; and the RECORDs that are not themselves."""
    infos = dist_infos(environment)
    damage: list[Damage] = []
    expected: dict[str, RecordedFile] = {}
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
        for one in recorded_files(environment, artifact.name, info):
            if "__pycache__" not in one.name:
                expected[one.name] = one
    return expected, damage


@dataclass(frozen=True, kw_only=True, slots=True)
class FreshFiles:
    """A fresh environment, listed once: what is there, and what the RECORDs name, all by the path in it.

    `infos` is the folder of each `.dist-info` by package, `recorded` the lines of its RECORD.
    """

    root: Path
    there: Mapping[str, os.stat_result]
    infos: Mapping[str, str]
    recorded: Mapping[str, Mapping[str, RecordedFile]]

    def suspicious_packages(self) -> set[str]:
        """Packages whose files may have been edited in uv's cache, found without reading them all.

        A file that uv links from its cache was last written when its wheel was unpacked, and `.dist-info` is unpacked
        last (the wheel specification puts it at the end of the archive). So a file is read only where its size is not
        the recorded one, or where it is newer than its own `.dist-info`. An edit that restores size and time escapes
        this; `find_damage` reads everything and does not let it through.
        """
        unpacked: dict[str, float] = {}
        for name, status in self.there.items():
            folder, _, _ = name.rpartition("/")
            if folder.endswith(".dist-info") and status.st_nlink > 1:  # what the build itself wrote does not count
                unpacked[folder] = max(unpacked.get(folder, 0.0), status.st_mtime)
        return {
            package
            for package, files in self.recorded.items()
            if self._is_suspicious(files, unpacked.get(self.infos[package], 0.0) + 1)
        }

    def _is_suspicious(self, files: Mapping[str, RecordedFile], unpacked: float) -> bool:
        for name, one in files.items():
            status = self.there.get(name)
            if status is None:
                if "__pycache__" not in name:  # byte code is written at will, and was not listed
                    return True
                continue
            other_size = status.st_size != one.size and one.size is not None
            newer = status.st_mtime > unpacked and status.st_nlink > 1
            if (other_size or newer) and one.digest and not matches_record(self.root, one):
                return True
        return False

    def unrecorded(self) -> dict[str, str]:
        """What no RECORD lists, by its path in the environment: the sha256 of each file, `link:TARGET` of each link."""
        known: set[str] = set().union(*self.recorded.values())
        return {
            name: content_of(self.root / name)
            for name, status in self.there.items()
            if name not in known or stat.S_ISLNK(status.st_mode)
        }


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
    return FreshFiles(
        root=root,
        there=dict(_listed(root)),
        infos={package: _relative(info, root) for package, info in infos.items()},
        recorded={
            package: {one.name: one for one in recorded_files(root, package, info)} for package, info in infos.items()
        },
    )


def content_of(path: Path) -> str:
    """What a receipt says of one file or link: its sha256, or `link:TARGET`."""
    return _LINK + os.readlink(path) if path.is_symlink() else digest_of_file(path)  # noqa: PTH115  the text itself


def _judge(name: str, recorded: RecordedFile | None, environment: Path, overrides: Mapping[str, str]) -> Damage | None:
    path = environment / name
    try:
        if name in overrides:
            good = content_of(path) == overrides[name]
        else:
            good = recorded is not None and not path.is_symlink() and matches_record(environment, recorded)
    except OSError:
        good = False  # it went, or became unreadable, since it was listed
    return None if good else Damage(path=name, kind="changed", package=None if recorded is None else recorded.package)


def _package(expected: Mapping[str, RecordedFile], name: str) -> str | None:
    return expected[name].package if name in expected else None


def matches_record(environment: Path, one: RecordedFile) -> bool:
    """Whether the bytes are the recorded ones; byte code and RECORD itself have no digest and only need to exist."""
    digest = _digest(one.digest)
    if digest is None:
        return exists(environment / one.name)
    algorithm, expected = digest
    return digest_by(algorithm, environment / one.name) == expected


def _relative(path: str | Path, environment: Path) -> str:
    return Path(path).absolute().relative_to(environment.absolute()).as_posix()


def _digest(field: str) -> tuple[str, str] | None:
    algorithm, _, value = field.partition("=")
    if not value or not knows_algorithm(algorithm):
        return None
    return algorithm, base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
