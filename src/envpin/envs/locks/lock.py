"""A PEP 751 lock: read, checked, digested, named. Reading never installs and never opens the network.

https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from envpin.core import files
from envpin.core.errors import InputError
from envpin.core.text_input import read_text
from envpin.core.toml_input import BadTomlError, parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from packaging.pylock import Package, Pylock

# The names that the specification allows; a name with a further dot is refused by installers.
FILE_NAME = re.compile(r"^pylock(?:\.([^.]+))?\.toml$")
# A hash weaker than these proves nothing.
_STRONG = frozenset({"sha256", "sha384", "sha512"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Lock:
    """The text of a lock and what it says. `origin` is where it came from, for messages; `known_digest` is its digest
    where it was computed of this very text before.

    Two locks are equal when they install the same things: comments and `[tool.…]` tables do not count.
    """

    text: str
    origin: str = "the lock"
    known_digest: str | None = None

    @cached_property
    def digest(self) -> str:
        """sha256 of the parsed body: no comments, no `tool` tables (which may not affect installation)."""
        return self.known_digest or digest(self.text)

    @cached_property
    def pylock(self) -> Pylock:
        """The parsed document; reading it checks it.

        Raises:
            InputError: with every problem found.
        """
        return _parse(self.text, self.origin)

    @property
    def packages(self) -> tuple[Package, ...]:
        return tuple(self.pylock.packages)

    def versions_of(self, name: str) -> tuple[str, ...]:
        """Every version of a normalized name that the lock holds: several where platforms differ, none where absent."""
        return tuple(str(package.version) for package in self.packages if package.name == name and package.version)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lock) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def read_lock(path: Path) -> Lock:
    """Read and check a lock file.

    Raises:
        InputError: it cannot be read, its name is not that of a lock, or it holds what envpin does not install.
    """
    check_file_name(path)
    return parse_lock(read_text(path), origin=str(path))


def check_file_name(path: Path) -> None:
    """
    Raises:
        InputError: PEP 751 does not allow a lock to be called this.
    """
    if FILE_NAME.match(path.name) is None:
        raise InputError(
            f"`{path.name}` is not the name of a lock: that is `pylock.toml` or `pylock.NAME.toml`, NAME without dots",
            path=path,
            hint=f"call it `{lock_file_name(path.stem.removeprefix('pylock.'))}`",
        )


def parse_lock(text: str, *, origin: str = "the lock") -> Lock:
    """Check the text of a lock.

    Raises:
        InputError: with every problem found.
    """
    lock = Lock(text=text, origin=origin)
    _ = lock.pylock
    return lock


def digest(text: str) -> str:
    """The digest of a lock's body; see `Lock.digest`.

    Of the parsed document: in the text, a table of `[[packages]]` can hide behind one of `[tool.…]`.

    Raises:
        InputError: it is no TOML.
    """
    document = _document(text, "the lock")
    body = {key: value for key, value in document.items() if key != "tool"}
    if isinstance(packages := body.get("packages"), list):
        body["packages"] = [_without_tool(one) for one in packages]
    # JSON has no dates; their text in TOML is as good.
    return files.digest(json.dumps(body, sort_keys=True, separators=(",", ":"), default=str))


def _without_tool(package: object) -> object:
    if not isinstance(package, dict):
        return package
    return {key: value for key, value in package.items() if key != "tool"}


def lock_file_name(name: str) -> str:
    """`llama3.1` gives `pylock.llama3-1.toml`: what PEP 751 allows between the dots."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
    return f"pylock.{slug}.toml" if slug else "pylock.toml"


def _parse(text: str, origin: str) -> Pylock:
    from packaging.pylock import Pylock, PylockUnsupportedVersionError, PylockValidationError

    document = _document(text, origin)
    if not document:
        raise InputError(f"`{origin}` is empty", path=origin)
    try:
        parsed = Pylock.from_dict(document)
    except PylockUnsupportedVersionError as fault:
        raise InputError(
            f"`{origin}` has lock version {document.get('lock-version')!r}, which this envpin does not know",
            path=origin,
            hint="upgrade envpin, or write the lock again",
        ) from fault
    except PylockValidationError as fault:
        raise InputError(f"`{origin}` is not a lock: {fault}", path=origin) from fault
    problems = list(_problems(parsed))
    if problems:
        raise InputError(f"`{origin}` is a lock that envpin does not install from", path=origin, problems=problems)
    return parsed


def _document(text: str, origin: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except BadTomlError as fault:
        raise InputError(f"`{origin}` is not valid TOML: {fault}", path=origin) from fault


def _problems(lock: Pylock) -> Iterator[str]:
    """What PEP 751 allows and envpin refuses: anything that would run a build, or install bytes nobody vouches for."""
    if not lock.packages:
        yield "packages: there is none"
    for at, package in enumerate(lock.packages):
        place = f"packages[{at}] ({package.name})"
        for kind in ("vcs", "directory", "archive"):
            if getattr(package, kind) is not None:
                yield f"{place}.{kind}: only wheels are installed"
        if package.version is None:
            yield f"{place}.version: is missing"
        if not package.wheels:
            yield f"{place}.wheels: there is none, and nothing is built from source"
        for number, wheel in enumerate(package.wheels or ()):
            if not _STRONG & set(wheel.hashes):
                yield f"{place}.wheels[{number}].hashes: has no sha256, sha384 or sha512"
            try:
                name = wheel.filename
            except Exception as fault:  # noqa: BLE001  packaging raises its own and the file name is untrusted
                yield f"{place}.wheels[{number}]: {fault}"
                continue
            if "/" in name or "\\" in name or not name.endswith(".whl"):
                yield f"{place}.wheels[{number}]: `{name}` is not the file name of a wheel"
