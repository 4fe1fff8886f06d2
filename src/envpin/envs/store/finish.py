"""What uv has installed: checked, healed where its cache was damaged, found complete, and described by a receipt."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from envpin.core.errors import BuildError
from envpin.core.marks import RECEIPT_SCHEMA
from envpin.core.sizes import counted, verb
from envpin.envs.machine import this_platform
from envpin.envs.store.artifacts import applicable, installed_artifacts
from envpin.envs.store.fresh import fresh_files
from envpin.envs.store.heal import heal
from envpin.envs.store.receipt import Receipt, encode_receipt
from envpin.envs.store.torch_installed import refuse_mislabelled

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.events import Listener
    from envpin.envs.store.identity import EnvironmentSpec
    from envpin.envs.store.provision import Provision
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
    how: Provision,
) -> bytes:
    """The receipt of what stands in `folder`, as bytes. Packages in `damaged` are read whole, as are suspicious ones.

    Raises:
        BuildError: it is not what the lock names, or cannot be healed.
        CacheDamagedError: it cannot be healed offline.
    """
    fresh = fresh_files(folder)
    suspects = damaged | fresh.suspicious_packages()
    healed, wrong = heal(spec, folder, suspects, fresh.doubtful_packages(), uv=uv, how=how, listener=listener)
    unrecorded = {**(fresh_files(folder) if healed else fresh).unrecorded(), **wrong}
    receipt = _receipt(spec, key, folder, uv, unrecorded=unrecorded, interpreter=interpreter)
    _refuse_incomplete(spec, receipt)
    refuse_mislabelled(folder, receipt.artifacts)
    return encode_receipt(receipt)


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
