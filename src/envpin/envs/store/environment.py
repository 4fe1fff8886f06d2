"""One finished environment of the store."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from envpin.core.json_input import BadJsonError, parse
from envpin.core.marks import RECEIPT, RECEIPT_SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.receipt import Receipt

# Its time of change is when the environment was last asked for.
USED = ".envpin-used"
# The bytes that it takes on the disk, and the adapters that were merged in it, one path a line.
SIZE = ".envpin-size"
NEEDED_BY = ".envpin-needed-by"
_USERS_KEPT = 50


def site_packages(environment: Path) -> Path:
    """The folder that distributions are installed in."""
    if os.name == "nt":
        return environment / "Lib" / "site-packages"
    found = sorted((environment / "lib").glob("python*/site-packages"))
    return found[0] if found else environment / "lib" / "site-packages"


def refuse_unusable(folder: Path) -> None:
    """
    Raises:
        InputError: the path holds what separates folders on PATH, so that another Python would be found in its place.
    """
    if os.pathsep in os.path.splitdrive(folder)[1]:
        from envpin.core.errors import InputError

        raise InputError(
            f"an environment in `{folder}` cannot be put on PATH: its folder's name holds `{os.pathsep}`",
            path=folder,
            hint="set ENVPIN_HOME to a folder without it",
        )


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A finished environment. `python` is its interpreter, `path` its folder."""

    path: Path
    python: Path
    key: str

    @cached_property
    def receipt(self) -> Receipt:
        """What was installed; read when it is first asked for.

        Raises:
            EnvironmentDamagedError: it cannot be read.
        """
        from envpin.envs.store.receipt import read_receipt

        return read_receipt(self.path)

    def refuse_unreadable(self) -> None:
        """Read no more of the receipt than tells whether it can be read: what it lists takes longer than all the rest
        of a quick command.

        Raises:
            EnvironmentDamagedError: it cannot.
        """
        try:
            read = parse((self.path / RECEIPT).read_bytes())
            known = isinstance(read, dict) and read.get("schema") == RECEIPT_SCHEMA
        except (OSError, BadJsonError):
            known = False
        if not known:
            _ = self.receipt  # which says what is wrong with it

    @property
    def spec(self) -> EnvironmentSpec:
        """What it was built from.

        Raises:
            EnvironmentDamagedError: its lock is not the one that its receipt names, or cannot be read.
        """
        from envpin.core.errors import EnvironmentDamagedError, InputError
        from envpin.core.marks import LOCK_NAME
        from envpin.core.text_input import read_text
        from envpin.envs.locks.lock import parse_lock
        from envpin.envs.store.identity import EnvironmentSpec

        path = self.path / LOCK_NAME
        try:
            lock = parse_lock(read_text(path), origin=str(path))
        except InputError:
            lock = None
        if lock is None or lock.digest != self.receipt.lock_sha256:
            raise EnvironmentDamagedError(
                f"`{path}` is not the lock that this environment was built from",
                hint="build it again by what it was built from: `envpin env create REF --rebuild`",
            )
        return EnvironmentSpec(name=self.receipt.name, lock=lock, python=self.receipt.python)

    @property
    def scripts(self) -> Path:
        """The folder of its console scripts."""
        return self.python.parent

    def activated(self) -> dict[str, str]:
        """The caller's variables, with its scripts first on PATH and no other Python leaking in.

        VIRTUAL_ENV stays unset: it would invite installers to change an environment that is shared by its key.

        Raises:
            InputError: its scripts cannot be put on PATH.
        """
        from envpin.core import process

        refuse_unusable(self.path)
        path = os.pathsep.join([str(self.scripts), os.environ.get("PATH", os.defpath)])
        return process.scrubbed_environment(set_values={"PATH": path})

    @property
    def last_used(self) -> float:
        """When it was last asked for, in seconds since the epoch."""
        marker = self.path / USED
        return (marker if marker.exists() else self.path / RECEIPT).stat().st_mtime

    @cached_property
    def size(self) -> int:
        """The bytes that it takes on the disk, those that it shares with uv's cache included; counted once."""
        from envpin.core.files import read_bounded, write_cache
        from envpin.envs.store.housekeeping import disk_size

        with contextlib.suppress(OSError, ValueError):
            return int(read_bounded(self.path / SIZE, 100))
        counted = disk_size(self.path)
        write_cache(self.path / SIZE, str(counted))
        return counted

    @property
    def needed_by(self) -> tuple[str, ...]:
        """The adapters that were merged in it and are still where they were."""
        from envpin.core.files import read_bounded

        try:
            lines = read_bounded(self.path / NEEDED_BY, 16 * 1024**2).decode(errors="surrogateescape").splitlines()
        except OSError:
            return ()
        return tuple(one for one in dict.fromkeys(lines) if one and os.path.exists(one))  # noqa: PTH110

    def note_need(self, user: str) -> None:
        """Remember what needs it; a store that cannot be written remembers nothing."""
        from envpin.core.files import write_cache

        known = [one for one in self.needed_by if one != user]
        if "\n" not in user and self.needed_by[:1] != (user,):
            write_cache(self.path / NEEDED_BY, "\n".join([user, *known][:_USERS_KEPT]) + "\n")
