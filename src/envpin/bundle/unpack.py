"""Check a bundle, and take it apart: nothing of it is used before all of it was found to be as it was made."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from envpin.bundle import contents
from envpin.bundle.archive import SUMS, read_archive
from envpin.core.errors import InputError, RefusedError
from envpin.core.files import read_bounded
from envpin.core.scratch import scratch
from envpin.envs.locks.fitting import Target
from envpin.envs.locks.lock import parse_lock
from envpin.envs.store.identity import EnvironmentSpec
from envpin.envs.store.wheels import WheelShelf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from envpin.bundle.contents import BundleDescription
    from envpin.envs.store.store import Store

_LIMIT = 100_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedBundle:
    """A bundle that is as it was made. `files` maps each name to its sha256."""

    path: Path
    sha256: str
    files: dict[str, str]
    description: BundleDescription


@dataclass(frozen=True, kw_only=True, slots=True)
class UnpackedBundle:
    """A bundle taken apart: its environment, whose wheels the store keeps now, and its folders, where it has them."""

    description: BundleDescription
    spec: EnvironmentSpec
    adapter: Path | None
    base: Path | None


def verify_bundle(path: Path, *, sha256: str | None = None) -> CheckedBundle:
    """Read a bundle whole. `sha256` is what the file itself has to have, where somebody said it.

    Raises:
        InputError: it cannot be read.
        RefusedError: it is not as it was made.
    """
    with scratch("bundle") as folder:
        return _checked(path, folder, sha256=sha256, everything=False)


@contextlib.contextmanager
def unpacked(path: Path, store: Store) -> Iterator[UnpackedBundle]:
    """A bundle taken apart in a folder that lasts as long as the block; its wheels stay in the store.

    Raises:
        InputError, RefusedError: as `verify_bundle`; and where it is for another platform.
    """
    with scratch("bundle") as folder:
        found = _checked(path, folder, sha256=None, everything=True)
        said = found.description
        here = Target(platform=None, python=said.python).name
        if said.platform != here:
            raise RefusedError(
                f"`{path}` is for {said.platform}, and this machine is {here}", hint=f"make one with --platform {here}"
            )
        lock = parse_lock(
            read_bounded(folder / contents.LOCK, _LIMIT).decode("utf-8"), origin=f"the lock of {path.name}"
        )
        if lock.digest != said.lock_sha256:
            raise RefusedError(f"`{path}` says of its lock what is not so", hint="get it again from where it was made")
        shelf = WheelShelf(store.root)
        by_name = {wheel.filename: wheel for package in lock.packages for wheel in package.wheels or ()}
        for name in said.wheels:
            if name not in by_name:
                raise RefusedError(f"`{path}` holds `{name}`, which its lock does not name")
            shelf.add(by_name[name], _taken_from(folder / "wheels" / name))
        yield UnpackedBundle(
            description=said,
            spec=EnvironmentSpec(name=said.name, lock=lock, python=said.python),
            adapter=folder / "adapter" if said.merge is not None else None,
            base=folder / "base" if said.with_base else None,
        )


def _checked(path: Path, folder: Path, *, sha256: str | None, everything: bool) -> CheckedBundle:
    def sink(name: str, _executable: bool) -> IO[bytes] | None:
        if not everything and name != contents.DESCRIPTION:
            return None
        if name == SUMS or name.startswith(("python/", "worker/", "restore")):
            return None  # this envpin has its own
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.open("xb")

    found, files = read_archive(path, sink)
    if sha256 is not None and found != sha256.lower().removeprefix("sha256:"):
        raise RefusedError(
            f"`{path}` is another bundle: its sha256 is {found}", hint="get it again from where it was made"
        )
    if contents.DESCRIPTION not in files or contents.LOCK not in files:
        raise InputError(f"`{path}` holds no {contents.DESCRIPTION}", path=path)
    description = contents.decode(read_bounded(folder / contents.DESCRIPTION, _LIMIT))
    return CheckedBundle(path=path, sha256=found, files=files, description=description)


def _taken_from(source: Path) -> Callable[[Path], None]:
    def write(target: Path) -> None:
        try:
            target.hardlink_to(source)
        except OSError:  # another file system
            shutil.copyfile(source, target)

    return write
