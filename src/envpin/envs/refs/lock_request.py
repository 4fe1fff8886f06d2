"""What a portable lock of a reference is made from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.core.errors import InputError
from envpin.envs.locks.lock import read_lock
from envpin.envs.locks.portable import LockRequest
from envpin.envs.locks.requirements import check_requirements
from envpin.envs.machine import default_python
from envpin.envs.refs.family import as_time, family_request, find_family, lock_python
from envpin.envs.refs.reference import (
    AdapterReference,
    FamilyReference,
    LockReference,
    parse_reference,
)

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.envs.locks.lock import Lock


def lock_request(
    reference_text: str,
    *,
    python: str | None = None,
    exclude_newer: str | None = None,
    offline: bool = False,
) -> LockRequest:
    """The request of a reference; `python` and `exclude_newer` override what the reference says.

    Raises:
        InputError: the reference, or what it names, cannot be read.
        ResolutionError: a family for which nothing can be pinned.
        NetworkError: the release dates of literal pins cannot be had.
    """
    limit = as_time(exclude_newer) if exclude_newer else None
    match parse_reference(reference_text):
        case FamilyReference(id=family_id, torch=str(label)):
            raise InputError(
                f"a lock for every platform has the builds of torch that the index itself has, not `{label}`",
                hint=f"{command_text('envpin', 'env', 'create', f'{family_id}+{label}')} makes one for this machine",
            )
        case FamilyReference(id=family_id):
            from envpin.matrix.load import load_matrix

            family = find_family(family_id, load_matrix())
            return family_request(family, python=python or lock_python(family), exclude_newer=limit)
        case LockReference(path=path):
            return _again(read_lock(path), python=python, exclude_newer=limit)
        case AdapterReference(path=path):
            return _of_adapter(path, python=python, exclude_newer=limit)
        case pins:
            from envpin.envs.locks.era import era_limit

            requirements = check_requirements(pins.requirements)
            limit = limit or era_limit(requirements, offline=offline)
            return LockRequest(
                name="",
                requirements=requirements,
                python=python or default_python(),
                exclude_newer=limit,
                command=command_text("envpin", "lock", ",".join(requirements)),
            )


def _of_adapter(path: Path, *, python: str | None, exclude_newer: str | None) -> LockRequest:
    from envpin.envs.refs.adapter import adapter_manifest, adapter_name, recorded_request, unrecorded
    from envpin.envs.refs.recorded import day_after, recorded_python

    manifest = adapter_manifest(path)
    if manifest is None:
        known = unrecorded(path).request
        return replace(known, python=python or known.python, exclude_newer=exclude_newer or known.exclude_newer)
    return recorded_request(
        manifest,
        name=adapter_name(path),
        python=python or recorded_python(manifest) or default_python(),
        exclude_newer=exclude_newer or day_after(manifest.run.saved if manifest.run else None),
    )


def _again(lock: Lock, *, python: str | None, exclude_newer: str | None) -> LockRequest:
    """The request that a lock of envpin's own keeps in its `[tool.envpin]` table.

    Raises:
        InputError: it has no such table, or not with these fields.
    """
    made = (lock.pylock.tool or {}).get("envpin", {})
    requirements = made.get("requirements")
    if not isinstance(requirements, list) or not requirements:
        raise InputError(
            f"`{lock.origin}` does not say what it was made from: `tool.envpin.requirements` is missing",
            path=lock.origin,
            hint="lock a family, an adapter or literal pins",
        )
    limit = made.get("exclude-newer")
    return LockRequest(
        name=str(made.get("name", "")),
        requirements=check_requirements(map(str, requirements)),
        constraints=check_requirements(map(str, made["constraints"])) if made.get("constraints") else (),
        python=python or str(made.get("python") or default_python()),
        exclude_newer=exclude_newer or (as_time(str(limit)) if limit else None),
        command=str(made["command"]) if "command" in made else None,
    )
