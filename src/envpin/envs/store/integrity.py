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
import io
import os
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
    """One file that is not as it was installed. `path` is relative to the environment; `package` is normalized.

    Of a file whose kind is `unknown` neither its wheel nor an older envpin noted a digest.
    """

    path: str
    kind: Literal["changed", "missing", "extra", "unknown"]
    package: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}" + (f" ({self.package})" if self.package else "")


class RecordedFile(NamedTuple):
    """One line of a RECORD: the file by its path in the environment, the digest as RECORD writes it (empty: none that
    can be checked), the size in bytes.

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
    folder = relative_to(dist_info.parent, environment)
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
        if not digest.startswith("sha256=") and not _is_usable(digest):
            digest = ""
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
        found = pool.map(
            lambda name: _judge(name, expected.get(name), environment, receipt.unrecorded.get(name)), fresh
        )
        damage += [one for one in found if one is not None]
    if not damage:
        remember(environment, there, began=began)
    return tuple(sorted(damage, key=lambda one: (one.path, one.kind)))


def entries(environment: Path) -> Iterator[tuple[str, Fingerprint]]:
    """Every file and link below an environment, by its path in it. No link is followed, `__pycache__` is left out."""
    return ((name, fingerprint_of(status)) for name, status in listed(environment))


def listed(environment: Path) -> Iterator[tuple[str, os.stat_result]]:
    """As `entries`, with all that the system says of each."""
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
            absent = (
                f"{artifact.name}-{artifact.version}.dist-info" if record is None else relative_to(record, environment)
            )
            damage.append(Damage(path=absent, kind="missing", package=artifact.name))
            continue
        if digest_of_file(record) != artifact.record_sha256:
            damage.append(Damage(path=relative_to(record, environment), kind="changed", package=artifact.name))
            continue
        for one in recorded_files(environment, artifact.name, info):
            if "__pycache__" not in one.name:
                expected[one.name] = one
        own = relative_to(record, environment)  # without a digest of itself: the receipt has it
        expected[own] = RecordedFile(own, artifact.name, _as_recorded(artifact.record_sha256), None)
    return expected, damage


def content_of(path: Path) -> str:
    """What a receipt says of one file or link: its sha256, or `link:TARGET`."""
    return _LINK + os.readlink(path) if path.is_symlink() else digest_of_file(path)  # noqa: PTH115  the text itself


def _judge(name: str, recorded: RecordedFile | None, environment: Path, vouched: str | None) -> Damage | None:
    """`vouched` is what the receipt says of the file. A link in place of a file with a digest vouches for nothing."""
    package = None if recorded is None else recorded.package
    has_digest = recorded is not None and bool(recorded.digest)
    try:
        if vouched is not None and not (has_digest and vouched.startswith(_LINK)):
            good = content_of(environment / name) == vouched
        elif recorded is None or not has_digest:
            return Damage(path=name, kind="unknown", package=package)
        else:
            good = matches_record(environment, recorded)
    except OSError:
        good = False  # it went, or became unreadable, since it was listed
    return None if good else Damage(path=name, kind="changed", package=package)


def _package(expected: Mapping[str, RecordedFile], name: str) -> str | None:
    return expected[name].package if name in expected else None


def matches_record(environment: Path, one: RecordedFile) -> bool:
    """Whether a file has the recorded bytes, and is no link; without a digest it only needs to exist."""
    path = environment / one.name
    if not one.digest:
        return exists(path)
    algorithm, expected = _digest(one.digest)
    return not path.is_symlink() and digest_by(algorithm, path) == expected


def relative_to(path: Path, environment: Path) -> str:
    """The path in the environment, as receipts write it."""
    return Path(path).absolute().relative_to(environment.absolute()).as_posix()


def _is_usable(digest: str) -> bool:
    algorithm, _, value = digest.partition("=")
    return bool(value) and knows_algorithm(algorithm)


def _digest(field: str) -> tuple[str, str]:
    """The algorithm of a RECORD's digest, and the digest in hex; what is no digest is that of no file."""
    algorithm, _, value = field.partition("=")
    try:
        return algorithm, base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
    except ValueError:
        return algorithm, ""


def _as_recorded(sha256: str) -> str:
    """A digest in hex as RECORD writes it."""
    return "sha256=" + base64.urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=").decode("ascii")
