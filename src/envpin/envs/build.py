"""Build one environment: in a temporary sibling, checked, with its receipt written last, then renamed into place."""

from __future__ import annotations

import datetime as dt
import errno
import os
import secrets
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envpin.envs.artifacts import describe_interpreter, installed_artifacts
from envpin.envs.integrity import (
    dist_infos,
    file_sha256,
    find_damage,
    matches_record,
    recorded_files,
    suspicious_files,
    unrecorded_files,
)
from envpin.envs.local import this_platform
from envpin.envs.receipt import FILE_NAME, SCHEMA, Receipt, encode_receipt
from envpin.envs.uv import find_uv
from envpin.errors import BuildError, DiskFullError, InputError, NetworkError
from envpin.events import Note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from envpin.envs.identity import EnvironmentSpec
    from envpin.envs.store import Environment
    from envpin.envs.uv import Uv
    from envpin.events import Listener

LOCK_NAME = "pylock.toml"


def build(
    spec: EnvironmentSpec,
    key: str,
    target: Path,
    *,
    building: Path,
    previous: Environment | None,
    listener: Listener,
    offline: bool,
) -> None:
    """Build `spec` and put it at `target`, in place of `previous`. The caller holds the lock of `key`.

    Raises:
        EnvironmentSetupError, InfrastructureError: as `Store.ensure` says; `target` is then as it was.
    """
    uv = find_uv()
    _ = spec.lock.pylock  # refuses a bad lock before anything is created
    damaged = _damaged_packages(previous)
    building.mkdir(parents=True, exist_ok=True)
    for stale in building.glob(f"{key}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = building / f"{key}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir()
        began = time.time()
        _install(spec, folder, uv=uv, damaged=damaged, listener=listener, offline=offline)
        wrong = _heal(folder, uv=uv, began=began, refreshed=damaged, listener=listener, offline=offline)
        receipt = _receipt(spec, key, folder, uv, wrong)
        _write_durably(folder / FILE_NAME, encode_receipt(receipt))
        if target.exists():
            discard(target, building)
        folder.rename(target)
        _sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def discard(folder: Path, building: Path) -> None:
    """Take a folder out of the store with one rename, then delete it."""
    building.mkdir(parents=True, exist_ok=True)
    grave = building / f"{folder.name}-{os.getpid()}-{secrets.token_hex(4)}"
    folder.rename(grave)
    shutil.rmtree(grave, ignore_errors=True)


def leftovers(building: Path) -> tuple[Path, ...]:
    """What killed builds left in `building`."""
    return tuple(sorted(building.iterdir())) if building.is_dir() else ()


@contextmanager
def describing_faults(root: Path) -> Iterator[None]:
    """Turn what the operating system refuses below `root` into errors that say so.

    Raises:
        DiskFullError, InputError
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
                hint="set ENVPIN_HOME to a folder that you may write",
            ) from fault
        raise


def _install(
    spec: EnvironmentSpec, folder: Path, *, uv: Uv, damaged: Sequence[str], listener: Listener, offline: bool
) -> None:
    uv.create(folder, python=spec.python, offline=offline)
    lock = folder / LOCK_NAME
    lock.write_text(spec.lock.text, encoding="utf-8")
    python = python_of(folder)
    if not damaged:
        try:
            # What the cache holds needs no network; only a miss does.
            uv.sync(lock, python=python, offline=True, listener=listener)
            return
        except NetworkError:
            if offline:
                raise
    if offline:
        raise BuildError(
            f"the installed files of {', '.join(damaged)} are damaged, and nothing may be downloaded",
            hint="run it again without `--offline`",
        )
    uv.sync(lock, python=python, refresh=damaged, listener=listener)


def _damaged_packages(previous: Environment | None) -> tuple[str, ...]:
    """Packages whose installed bytes are damaged: uv's cache may share those bytes by hard links."""
    if previous is None:
        return ()
    damage = find_damage(previous.path, previous.receipt)
    return tuple(sorted({one.package for one in damage if one.package is not None}))


def _heal(
    folder: Path, *, uv: Uv, began: float, refreshed: Sequence[str], listener: Listener, offline: bool
) -> dict[str, str]:
    """Fetch again what came damaged out of uv's cache; the digests of files whose wheel records them wrongly.

    What was just fetched has the hash of the lock, so where its bytes still differ from its RECORD, the RECORD is wrong
    (some published wheels are like that), or another wheel wrote over the file.

    Raises:
        BuildError: it cannot be healed offline.
    """
    suspects = sorted({one.package for one in suspicious_files(folder, built_after=began)} - set(refreshed))
    if suspects and offline:
        raise BuildError(
            f"uv's cache holds damaged files of {', '.join(suspects)}, and nothing may be downloaded",
            hint="run it again without `--offline`",
        )
    if suspects:
        listener(Note(message=f"uv's cache may be damaged: fetching {', '.join(suspects)} again", level="warning"))
        uv.sync(folder / LOCK_NAME, python=python_of(folder), refresh=suspects, reinstall=True, listener=listener)
    wrong: dict[str, str] = {}
    for package in {*suspects, *refreshed}:
        info = dist_infos(folder).get(package)
        if info is None:
            continue
        for one in recorded_files(folder, package, info):
            if one.path.is_file() and not matches_record(one):
                wrong[one.path.relative_to(folder).as_posix()] = file_sha256(one.path)
    return wrong


def _receipt(spec: EnvironmentSpec, key: str, folder: Path, uv: Uv, wrong: dict[str, str]) -> Receipt:
    return Receipt(
        schema=SCHEMA,
        key=key,
        name=spec.name,
        created=dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
        python=spec.python,
        interpreter=describe_interpreter(python_of(folder)),
        platform=this_platform(),
        lock_sha256=spec.lock.digest,
        uv=uv.version,
        artifacts=installed_artifacts(folder, spec.lock),
        unrecorded={**unrecorded_files(folder), **wrong},
    )


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
