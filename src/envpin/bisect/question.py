"""What is being asked: the package, its two ends, and the probe. Its digest names the search, so that the same command
finds its log again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import msgspec

from envpin.core import files
from envpin.core.errors import InputError
from envpin.core.files import digest_of_file

# Raised when probes of the same question may come out differently from before.
PROBE_VERSION = 2
ACTIONS = ("config", "load", "forward", "generate", "train", "load-adapter", "merge")
Find = Literal["broke", "fixed"]
# Larger files (weights) are told apart by size and time: hashing 64 MB takes 0.1 s, and a bisection asks at each start.
_HASHED_WHOLE = 64 * 1024 * 1024


class ProbeQuestion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A built-in action on a family's tiny model or on the user's own files, or the user's command.

    `contents` is a digest of the files that the probe reads: other files make it another probe. `metric`: what counts
    is the last number that the command prints, held against `threshold`, or halfway between those of the ends.
    """

    action: str | None = None
    family: str | None = None
    adapter: str | None = None
    base: str | None = None
    command: tuple[str, ...] = ()
    contents: str | None = None
    repeatable: bool = True
    metric: bool = False
    threshold: float | None = None

    @property
    def title(self) -> str:
        if self.command:
            return " ".join(self.command)
        subject = f"family {self.family}" if self.family else Path(self.adapter or self.base or "").name
        return f"{self.action}, {subject}"


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`old` and `new` are the ends by version; which of them is good follows from `find`.

    `held` are requirements that stay as they are, `also` names of packages to install besides, `python` a version such
    as `3.11`, `timeout` seconds for one probe.
    """

    package: str
    old: str
    new: str
    find: Find
    probe: ProbeQuestion
    python: str
    held: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    expect: str | None = None
    prereleases: bool = False
    yanked: bool = False
    timeout: float | None = None

    @property
    def good(self) -> str:
        return self.old if self.find == "broke" else self.new

    @property
    def bad(self) -> str:
        return self.new if self.find == "broke" else self.old

    @property
    def identity(self) -> str:
        """The name of this search's folder."""
        return f"{self.package}-{digest(msgspec.to_builtins(self))[:12]}"

    @property
    def requirements(self) -> tuple[str, ...]:
        """What the probe needs besides the package under test, as far as the user has not pinned it."""
        from packaging.requirements import Requirement
        from packaging.utils import canonicalize_name

        needed: tuple[str, ...] = ()
        if self.probe.action == "config":
            needed = ("transformers",)
        elif self.probe.action in {"load", "forward", "generate"}:
            needed = ("torch", "transformers")
        elif self.probe.action in {"train", "load-adapter", "merge"}:
            needed = ("torch", "transformers", "peft")
        pinned = {str(canonicalize_name(Requirement(text).name)) for text in self.held} | {self.package}
        return (*self.held, *(name for name in dict.fromkeys((*needed, *self.also)) if name not in pinned))


def digest(document: object) -> str:
    """A stable digest of a JSON document."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return files.digest(text)


def contents_digest(paths: tuple[str, ...]) -> str | None:
    """A digest of files and folders. Files above 64 MB count by size and modification time, not by their bytes.

    Raises:
        InputError: a file cannot be read.
    """
    facts: list[tuple[str, str]] = []
    for text in paths:
        path = Path(text)
        try:
            members = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
            for member in members:
                name = str(member.relative_to(path)) if path.is_dir() else member.name
                facts.append((name, _contents(member)))
        except OSError as fault:
            raise InputError(f"`{fault.filename or path}` cannot be read: {fault.strerror}", path=path) from fault
    return digest(facts) if facts else None


def _contents(path: Path) -> str:
    stat = path.stat()
    if stat.st_size > _HASHED_WHOLE:
        return f"{stat.st_size} {stat.st_mtime_ns}"
    return digest_of_file(path)
