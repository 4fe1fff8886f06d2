"""The environment that a run was trained in, all of it: not only what a merge needs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from envpin.core.errors import InputError, NetworkError, ResolutionError, UsageError
from envpin.core.events import Note, ignore
from envpin.core.versions import same_build, same_release
from envpin.envs.locks.lock import read_lock
from envpin.envs.locks.portable import LockRequest
from envpin.envs.machine import default_python
from envpin.envs.refs.adapter import adapter_manifest, adapter_name
from envpin.envs.refs.recorded import day_after, recorded_python, recorded_torch
from envpin.envs.refs.reference import AdapterReference, parse_reference
from envpin.envs.store.identity import EnvironmentSpec
from envpin.manifest.closure import Unpinnable, whole_environment
from envpin.manifest.read import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from envpin.core.events import Listener
    from envpin.envs.refs.pins import Resolver
    from envpin.envs.store.store import Store
    from envpin.manifest.types import Manifest

_ASKED_AT_ONCE = 8


def training_path(reference: str) -> Path:
    """The adapter folder or manifest that `reference` names.

    Raises:
        UsageError: it names something else, which has no training environment.
        InputError: it is no reference.
    """
    parsed = parse_reference(reference)
    if not isinstance(parsed, AdapterReference):
        raise UsageError(f"--training takes a recorded adapter, and `{reference}` is none",
                         hint="name the adapter's folder, or its envpin.json")  # fmt: skip
    return parsed.path


def training_manifest(path: Path) -> Manifest:
    """The manifest of a folder whose training environment is wanted.

    Raises:
        InputError: there is none, or it lists no distributions.
    """
    manifest = adapter_manifest(path)
    if manifest is None:
        below = sorted(str(one.parent) for one in path.glob(f"*/{FILE_NAME}"))[:3] if path.is_dir() else []
        named = f"name what was saved below it: {', '.join(f'`{one}`' for one in below)}"
        raise InputError(f"`{path}` has no envpin.json, so its training environment is not known", path=path,
                         hint=named if below else "record the run with `envpin record -- CMD…`")  # fmt: skip
    if not manifest.distributions:
        raise InputError(f"the manifest of `{path}` lists no distributions", path=path)
    return manifest


def resolve_training(
    manifest: Manifest, resolver: Resolver, store: Store, *, name: str, skip: bool = False
) -> tuple[EnvironmentSpec, tuple[Unpinnable, ...]]:
    """The environment of every recorded distribution, and what is left out of it.

    One of the store that holds just these distributions is taken as it is. With `skip`, what cannot be had is left out
    and told; else it is an error.

    Raises:
        ResolutionError: something cannot be rebuilt, and `skip` is not set.
        NoInterpreterError, NetworkError, DiskFullError
    """
    whole = whole_environment(manifest)
    left = whole.unpinnable
    if left and not skip:
        raise _cannot(left)
    ready = _ready(manifest, store, resolver, without={one.name for one in left})
    if ready is not None:
        _tell(left, resolver.listener)
        return ready, left
    torch = resolver.torch or recorded_torch(manifest)
    resolver = replace(resolver, python=resolver.python or recorded_python(manifest), torch=torch)
    latest = day_after(manifest.run.saved if manifest.run else None)

    def resolve(requirements: Sequence[str]) -> EnvironmentSpec:
        return resolver.pins(requirements, exclude_newer=latest, name=f"{name} (training)", alone=True)

    try:
        spec = resolve(whole.requirements)
    except ResolutionError as failed:
        vanished = _vanished(whole.requirements, offline=resolver.offline)
        if not vanished:
            raise
        if not skip:
            raise _cannot((*left, *vanished)) from failed
        gone = {one.name for one in vanished}
        spec = resolve([one for one in whole.requirements if one.partition("==")[0] not in gone])
        left = (*left, *vanished)
    _tell(left, resolver.listener)
    return spec, left


def training_request(
    path: Path, *, python: str | None, exclude_newer: str | None, skip: bool, offline: bool = False,
    listener: Listener = ignore,
) -> LockRequest:  # fmt: skip
    """What a portable lock of the whole training environment is made from. With `skip`, what the index no longer has is
    left out and told; it is asked for each distribution.

    Raises:
        InputError, ResolutionError: as `training_manifest` and `resolve_training`.
    """
    manifest = training_manifest(path)
    whole = whole_environment(manifest)
    if whole.unpinnable and not skip:
        raise _cannot(whole.unpinnable)
    left = (*whole.unpinnable, *(_vanished(whole.requirements, offline=offline) if skip else ()))
    _tell(left, listener)
    gone = {one.name for one in left}
    return LockRequest(
        name=f"{adapter_name(path)}-training",
        requirements=tuple(one for one in whole.requirements if one.partition("==")[0] not in gone),
        python=python or recorded_python(manifest) or default_python(),
        exclude_newer=exclude_newer or day_after(manifest.run.saved if manifest.run else None),
        alone=True,
    )


def _ready(manifest: Manifest, store: Store, resolver: Resolver, *, without: set[str]) -> EnvironmentSpec | None:
    """An environment of the store that holds every recorded distribution but these, the same builds, and no other."""
    recorded = {str(canonicalize_name(one.name)): one.version for one in manifest.distributions}
    wanted = {name: version for name, version in recorded.items() if name not in without}
    python = resolver.python or (manifest.python.version if manifest.python else None)
    for environment in store.list():
        receipt = environment.receipt
        held = {str(canonicalize_name(one.name)): one.version for one in receipt.artifacts}
        actual = receipt.interpreter.version
        if held.keys() != wanted.keys() or not (python is None or actual == python or actual.startswith(f"{python}.")):
            continue
        if all(same_build(wanted[name], version) for name, version in held.items()):
            lock = read_lock(environment.path / "pylock.toml")
            spec = EnvironmentSpec(name=receipt.name, lock=lock, python=receipt.python)
            if store.key(spec) == environment.key:
                return spec
    return None


def _tell(left: Sequence[Unpinnable], listener: Listener) -> None:
    for one in left:
        listener(Note(message=f"left out: {one.name} {one.version}, {one.reason}", level="warning"))


def _cannot(left: Sequence[Unpinnable]) -> ResolutionError:
    listed = "\n".join(f"  {one.name} {one.version}: {one.reason}" for one in left)
    return ResolutionError(
        f"the training environment cannot be rebuilt whole\n{listed}", hint="--skip leaves these out, and says so"
    )


def _vanished(requirements: Sequence[str], *, offline: bool) -> tuple[Unpinnable, ...]:
    """The pins that the index has no wheel for. Asked only where resolving failed."""
    from envpin.remote.index.client import releases

    def gone(requirement: str) -> Unpinnable | None:
        name, _, version = requirement.partition("==")
        try:
            known = releases(name, offline=offline)
        except InputError:
            known = []
        except NetworkError:
            return None
        found = [one for one in known if same_release(str(one.version), version)]
        if any(file.is_wheel for one in found for file in one.files):
            return None
        return Unpinnable(
            name=name, version=version, reason="the index has no wheel of it" if found else "not on the index"
        )

    with ThreadPoolExecutor(max_workers=_ASKED_AT_ONCE) as pool:
        return tuple(one for one in pool.map(gone, requirements) if one is not None)
