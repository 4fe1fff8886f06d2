"""What uv has installed: healed where its cache was damaged, found complete, and described by a receipt."""

from __future__ import annotations

import datetime as dt
import shutil
from typing import TYPE_CHECKING

from envpin.core.errors import BuildError
from envpin.core.events import Note
from envpin.core.files import digest_of_file
from envpin.core.marks import LOCK_NAME, RECEIPT_SCHEMA
from envpin.core.sizes import counted, verb
from envpin.envs.machine import this_platform
from envpin.envs.store.artifacts import applicable, installed_artifacts
from envpin.envs.store.integrity import dist_infos, fresh_files, matches_record, recorded_files
from envpin.envs.store.receipt import Receipt, encode_receipt
from envpin.envs.store.torch_installed import refuse_mislabelled
from envpin.envs.uv.command import interpreter_of

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.events import Listener
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.receipt import Interpreter
    from envpin.envs.uv.command import Uv


def checked_receipt(
    spec: EnvironmentSpec,
    key: str,
    folder: Path,
    uv: Uv,
    *,
    damaged: set[str],
    interpreter: Interpreter,
    listener: Listener,
    offline: bool,
) -> bytes:
    """The receipt of what stands in `folder`, as bytes. Packages in `damaged` are read whole, as are suspicious ones.

    Raises:
        BuildError: it is not what the lock names, or cannot be healed.
    """
    fresh = fresh_files(folder)
    suspects = damaged | fresh.suspicious_packages()
    healed, wrong = _heal(folder, suspects, uv=uv, listener=listener, offline=offline)
    unrecorded = {**(fresh_files(folder) if healed else fresh).unrecorded(), **wrong}
    receipt = _receipt(spec, key, folder, uv, unrecorded=unrecorded, interpreter=interpreter)
    _refuse_incomplete(spec, receipt)
    refuse_mislabelled(folder, receipt.artifacts)
    return encode_receipt(receipt)


def _heal(
    folder: Path, suspects: set[str], *, uv: Uv, listener: Listener, offline: bool
) -> tuple[bool, dict[str, str]]:
    """Replace what came damaged out of uv's cache: whether anything was, and the digests of files whose wheel records
    them wrongly.

    First past the cache, which heals the cache as well; uv does not do that for wheels that lie in a local folder, so
    what is still not as recorded is installed once more through an empty cache. Those bytes are the locked artifact's
    own, so where they still differ from RECORD, it is the RECORD that is wrong (some published wheels are like that, or
    another wheel wrote over the file), and the receipt vouches for the file instead.

    Raises:
        BuildError: it cannot be healed offline.
    """
    damaged = _not_as_recorded(folder, suspects)
    if not damaged:
        return False, {}
    names = sorted(damaged)
    if offline:
        raise BuildError(
            f"uv's cache holds files of {', '.join(names)} that are not what their wheel recorded, and nothing may be "
            "downloaded",
            hint="run it again without `--offline`",
        )
    listener(Note(message=f"uv's cache may be damaged: fetching {', '.join(names)} again", level="warning"))
    lock, python = folder / LOCK_NAME, interpreter_of(folder)
    uv.sync(lock, python=python, refresh=names, reinstall=names, listener=listener)
    damaged = _not_as_recorded(folder, suspects)
    if damaged:
        private = folder.with_name(f"{folder.name}-cache")
        try:
            uv.sync(lock, python=python, reinstall=sorted(damaged), cache=private, listener=listener)
        finally:
            shutil.rmtree(private, ignore_errors=True)
    wrong = _not_as_recorded(folder, suspects)
    return True, {file: digest_of_file(folder / file) for files in wrong.values() for file in files}


def _not_as_recorded(folder: Path, packages: set[str]) -> dict[str, list[str]]:
    """Per package, the files that exist and are not what RECORD says, relative to the environment."""
    found: dict[str, list[str]] = {}
    for package, info in dist_infos(folder).items():
        if package not in packages:
            continue
        for one in recorded_files(folder, package, info):
            if (folder / one.name).is_file() and not matches_record(folder, one):
                found.setdefault(package, []).append(one.name)
    return found


def _refuse_incomplete(spec: EnvironmentSpec, receipt: Receipt) -> None:
    """uv's word is not taken for it: what the lock names for this interpreter has to be there.

    Raises:
        BuildError: packages of the lock are not in the environment.
    """
    installed = {one.name for one in receipt.artifacts}
    missing = sorted(set(applicable(spec.lock, receipt.interpreter)) - installed)
    if missing:
        listed = ", ".join(f"`{name}`" for name in missing[:5]) + (
            f" and {len(missing) - 5} more" if missing[5:] else ""
        )
        raise BuildError(
            f"uv reported no fault, but {counted(len(missing), 'package')} of the lock "
            f"{verb(len(missing), 'is', 'are')} not in the environment: {listed}",
            hint="look for settings of uv that choose another folder or leave packages out",
        )


def _receipt(
    spec: EnvironmentSpec, key: str, folder: Path, uv: Uv, *, unrecorded: dict[str, str], interpreter: Interpreter
) -> Receipt:
    return Receipt(
        schema=RECEIPT_SCHEMA,
        key=key,
        name=spec.name,
        created=dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
        python=spec.python,
        interpreter=interpreter,
        platform=this_platform(),
        lock_sha256=spec.lock.digest,
        uv=uv.version,
        artifacts=installed_artifacts(folder, spec.lock),
        unrecorded=unrecorded,
    )
