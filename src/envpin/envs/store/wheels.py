"""Wheels that the store keeps, once each, by their sha256: what is kept installs again without an index.

ROOT/wheels/SHA256/NAME.whl    read again and digested wherever one is used
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from envpin.core.errors import BuildError, InputError, NetworkError
from envpin.core.events import Progress, ignore
from envpin.core.files import digest_of_file, flush, move_over, path_of_url
from envpin.core.toml_input import parse_toml
from envpin.envs.locks.pylock_text import write_pylock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from packaging.pylock import PackageWheel

    from envpin.core.events import Listener
    from envpin.envs.locks.lock import Lock


class WheelShelf:
    """The kept wheels below the root of a store. Safe to fill from several processes at once."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "wheels"

    def path_of(self, wheel: PackageWheel) -> Path | None:
        """Where a wheel would lie; None where its lock names no sha256."""
        sha256 = wheel.hashes.get("sha256")
        return self.folder / sha256 / wheel.filename if sha256 else None

    def find(self, wheel: PackageWheel) -> Path | None:
        """The kept wheel, or None. Its bytes are checked by whoever installs it."""
        path = self.path_of(wheel)
        return path if path is not None and path.is_file() else None

    def add(self, wheel: PackageWheel, write: Callable[[Path], None]) -> Path:
        """Keep a wheel that `write` puts into the file it is given; what is kept already is not written again.

        Raises:
            BuildError: the bytes are not those that the lock names.
        """
        target = self.path_of(wheel)
        if target is None:
            raise BuildError(f"`{wheel.filename}` has no sha256 in its lock, and cannot be kept by it")
        if target.is_file():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            write(temporary)
            found = digest_of_file(temporary)
            if found != wheel.hashes["sha256"]:
                raise BuildError(
                    f"`{wheel.filename}` is not the wheel that was locked: its sha256 is {found[:12]}…, "
                    f"expected {wheel.hashes['sha256'][:12]}…",
                    hint="do not use it; ask where it came from",
                )
            with temporary.open("rb+") as stream:
                flush(stream)
            move_over(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def fill(self, wheels: Iterable[PackageWheel], *, offline: bool, listener: Listener = ignore) -> None:
        """Keep all of these, from where their lock says that they are.

        Raises:
            NetworkError: one cannot be had, or `offline` and it is not kept.
            BuildError: the bytes are not those that the lock names.
        """
        missing = [one for one in wheels if self.find(one) is None]
        total, done = sum(one.size or 0 for one in missing), 0
        for wheel in missing:
            own = 0

            def arrived(count: int, *, name: str = wheel.filename) -> None:
                nonlocal done, own
                done, own = done + count, own + count
                label = name.partition("-")[0]
                listener(Progress(key="download", done=done, total=max(total, done), unit="B", label=label))

            self.add(wheel, _source(wheel, offline=offline, arrived=arrived))

    def localized(self, lock: Lock, *, above: tuple[WheelShelf, ...] = ()) -> str | None:
        """The text of `lock` with the paths of kept wheels in place of their URLs; None where none is kept."""
        document: dict[str, Any] = parse_toml(lock.text)
        shelves, some = (self, *above), False
        for package, parsed in zip(document["packages"], lock.packages, strict=True):
            for wheel, one in zip(package["wheels"], parsed.wheels or (), strict=True):
                kept = next((path for shelf in shelves if (path := shelf.find(one)) is not None), None)
                if kept is not None:
                    wheel.pop("url", None)
                    wheel["path"], some = str(kept), True
                    package.pop("index", None)
        document.pop("tool", None)
        return write_pylock(document) if some else None


def _source(wheel: PackageWheel, *, offline: bool, arrived: Callable[[int], None]) -> Callable[[Path], None]:
    url = wheel.url or ""
    if wheel.path is not None or urlsplit(url).scheme == "file":
        path = Path(wheel.path) if wheel.path is not None else path_of_url(url)
        if not path.is_file():
            raise InputError(f"`{path}` is not there any more", path=path, hint="lock again, or put it back")

        def copy(target: Path) -> None:
            shutil.copyfile(path, target)
            arrived(path.stat().st_size)

        return copy
    if offline:
        raise NetworkError(
            f"`{wheel.filename}` is not kept in the store, and nothing may be downloaded",
            hint="run it once without --offline",
        )

    def download(target: Path) -> None:
        from envpin.remote.index import Index

        Index().download(url, target, arrived)

    return download
