"""Build one environment: in a temporary sibling, checked, with its receipt written last, then renamed into place."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import (
    BuildError,
    CacheDamagedError,
    DiskFullError,
    EnvironmentDamagedError,
    InputError,
    NetworkError,
)
from envpin.core.events import Note
from envpin.core.files import sync_folder, write_atomically
from envpin.core.marks import LOCK_NAME, RECEIPT
from envpin.core.pools import started_pool
from envpin.core.scratch import remove_surely, scratch
from envpin.envs.store.environment import refuse_unusable
from envpin.envs.store.housekeeping import discard, is_of_group, open_to_group
from envpin.envs.uv.command import find_uv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.pylock import PackageWheel

    from envpin.core.events import Listener
    from envpin.envs.store.environment import Environment
    from envpin.envs.store.estimate import PlannedDownload
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.provision import Provision
    from envpin.envs.uv.command import Uv


def build(
    spec: EnvironmentSpec,
    key: str,
    target: Path,
    *,
    building: Path,
    previous: Environment | None,
    listener: Listener,
    how: Provision,
) -> None:
    """Build `spec` and put it at `target`, in place of `previous`. The caller holds the lock of `key`.

    Raises:
        EnvironmentSetupError, InfrastructureError: as `Store.ensure` says; `target` is then as it was.
        InputError: no command can be run in an environment at `target`.
    """
    refuse_unusable(target)
    damaged = _damaged_packages(previous)
    building.mkdir(parents=True, exist_ok=True)
    for stale in building.glob(f"{key}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = building / f"{key}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir()
        with started_pool(1) as pool:
            created = pool.submit(_created, folder, spec, how)
            # Meanwhile the rest is loaded, and the lock is read: a bad one is refused before anything is installed.
            from envpin.envs.store.artifacts import describe_interpreter
            from envpin.envs.store.finish import checked_receipt
            from envpin.envs.store.heal import install_anew

            _ = spec.lock.pylock
            uv, python = created.result()
            interpreter = pool.submit(describe_interpreter, python)  # while uv installs
            try:
                _install(spec, folder, python, uv=uv, listener=listener, how=how)
                fault = None
            except CacheDamagedError as broken:
                fault = broken
        if fault is not None:
            install_anew(spec, folder, fault, uv=uv, how=how, listener=listener)
        receipt = checked_receipt(
            spec, key, folder, uv, damaged=damaged, interpreter=interpreter.result(), listener=listener,
            how=how,
        )  # fmt: skip
        write_atomically(folder / RECEIPT, receipt)
        if is_of_group(building.parent.parent):
            open_to_group(folder)
        if target.exists():
            discard(target, building)
        folder.rename(target)
        sync_folder(target.parent)
    except BaseException:
        remove_surely(folder)
        raise


def _created(folder: Path, spec: EnvironmentSpec, how: Provision) -> tuple[Uv, Path]:
    uv = find_uv()
    return uv, uv.create(folder, python=spec.python, offline=how.offline)


@contextmanager
def describing_faults(root: Path, *, hint: str = "set ENVPIN_HOME to a folder that you may write") -> Iterator[None]:
    """Turn what the operating system refuses below `root` into errors that say so; `hint` is for one that may not be
    written.

    Raises:
        DiskFullError, EnvironmentDamagedError, InputError
    """
    try:
        yield
    except OSError as fault:
        if fault.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(
                f"the disk that holds `{root}` is full",
                hint="free some space (`envpin env prune`, `uv cache prune`), or set ENVPIN_HOME to another disk",
            ) from fault
        if fault.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}:
            raise InputError(
                f"the environment store `{root}` cannot be written: {(fault.strerror or str(fault)).lower()}",
                path=root,
                hint=hint,
            ) from fault
        raise


def _install(spec: EnvironmentSpec, folder: Path, python: Path, *, uv: Uv, listener: Listener, how: Provision) -> None:
    """From uv's cache where it has everything; else from what the store keeps, and then from where the lock says.

    Raises:
        RefusedError: more would be downloaded than may be.
    """
    lock = folder / LOCK_NAME
    lock.write_text(spec.lock.text, encoding="utf-8")
    shelf = how.shelves[0]
    if how.keep_wheels:
        from envpin.envs.locks.fitting import Target, wheels_for
        from envpin.envs.store.estimate import planned_download

        wheels = [wheel for _, wheel in wheels_for(spec.lock, Target(platform=None, python=spec.python))]
        planned = planned_download(spec.lock, spec.python, held=lambda wheel: shelf.find(wheel) is not None)
        _announce(planned, how, listener)
        shelf.fill(wheels, offline=how.offline, listener=listener)
    try:
        # What the cache holds needs no network; only a miss does.
        uv.sync(lock, python=python, offline=True, listener=listener)
    except (NetworkError, BuildError) as fault:
        kept = shelf.localized(spec.lock, above=how.shelves[1:])
        if kept is None and (how.offline or isinstance(fault, BuildError)):
            raise  # a wheel of a folder that is gone is a BuildError
        with scratch("kept") as place:
            source = lock
            if kept is not None:
                source = Path(place, LOCK_NAME)
                source.write_text(kept, encoding="utf-8")
            if not how.offline and not how.keep_wheels:
                _announce(_planned(spec, python, uv, how), how, listener)
            uv.sync(source, python=python, offline=how.offline, listener=listener)


def _planned(spec: EnvironmentSpec, python: Path, uv: Uv, how: Provision) -> PlannedDownload | None:
    from envpin.envs.store.estimate import cached_by_uv, planned_download

    cached = cached_by_uv(spec.lock, uv, python)

    def held(wheel: PackageWheel) -> bool:
        return any(shelf.find(wheel) is not None for shelf in how.shelves) or cached(wheel)

    try:
        return planned_download(spec.lock, spec.python, held=held)
    except BuildError:
        return None  # uv says in its own words what does not fit here


def _announce(planned: PlannedDownload | None, how: Provision, listener: Listener) -> None:
    if planned is None:
        return
    if planned.to_download:
        listener(Note(message=planned.words))
    planned.refuse_above(how.max_download)


def _damaged_packages(previous: Environment | None) -> set[str]:
    """Packages whose installed bytes are damaged: uv's cache may share those bytes by hard links."""
    if previous is None:
        return set()
    from envpin.envs.store.integrity import find_damage

    try:
        damage = find_damage(previous.path, previous.receipt)
    except EnvironmentDamagedError:
        return set()  # without its receipt nothing says what is damaged; what the cache gives is judged by itself
    return {one.package for one in damage if one.package is not None}
