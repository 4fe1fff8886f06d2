"""From a reference to an environment that can be built: which lock, for which Python."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from envpin.core.errors import NetworkError, ResolutionError
from envpin.core.events import Note
from envpin.envs.locks.lock import read_lock
from envpin.envs.locks.torch_build import torch_of
from envpin.envs.locks.torch_wish import TorchWish
from envpin.envs.refs.pins import Resolver
from envpin.envs.refs.reference import AdapterReference, FamilyReference, LockReference, parse_reference

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.errors import EnvpinError
    from envpin.envs.locks.lock import Lock
    from envpin.envs.store.identity import EnvironmentSpec


def resolve(reference_text: str, resolver: Resolver | None = None) -> EnvironmentSpec:
    """The environment that a reference means.

    Raises:
        InputError: the reference, or what it names, cannot be read.
        ResolutionError, NoInterpreterError, NetworkError, DiskFullError
    """
    resolver = resolver or Resolver()
    reference = parse_reference(reference_text)
    match reference:
        case LockReference(path=path):
            return resolver.lock(read_lock(path), name=_stem(path))
        case FamilyReference(id=family_id, torch=label):
            wish = resolver.torch if label is None else TorchWish(label=label, required=True)
            return _of_family(family_id, replace(resolver, torch=wish))
        case AdapterReference(path=path):
            return _of_adapter(path, resolver)
        case _:
            return resolver.pins(reference.requirements, era=True)


def _of_adapter(path: Path, resolver: Resolver) -> EnvironmentSpec:
    """What the manifest recorded; without one, what the matrix knows about the base, said aloud."""
    from envpin.envs.refs.adapter import adapter_manifest, adapter_name, unrecorded
    from envpin.envs.refs.recorded import resolve_recorded

    manifest = adapter_manifest(path)
    if manifest is not None:
        return resolve_recorded(manifest, resolver, name=adapter_name(path))
    known = unrecorded(path)
    sure = f" (confidence: {known.confidence})" if known.confidence else ""
    resolver.listener(Note(message=f"`{path}` has no envpin.json: using {known.title}{sure}", level="warning"))
    for line in known.evidence:
        resolver.listener(Note(message=line))
    return _of_family(known.family.id, resolver) if known.family is not None else resolver.request(known.request)


def _of_family(family_id: str, resolver: Resolver) -> EnvironmentSpec:
    """The family's committed lock; its pins resolved where it has none, or none for the asked Python or build."""
    from envpin.envs.refs.family import committed_lock, family_request, find_family
    from envpin.matrix.load import load_matrix

    family = find_family(family_id, load_matrix())
    request = family_request(family, python=resolver.python)
    lock = committed_lock(family)
    wish = resolver.torch
    if wish is not None and (lock is None or not _has_build(lock, wish)):
        # The committed lock is for every platform, with the build of torch that the index itself has.
        wanted = replace(resolver, torch=replace(wish, required=True))
        named = f"{request.name}+{wish.label}"
        try:
            return wanted.request(replace(request, name=named), prefer=lock)
        except (ResolutionError, NetworkError) as fault:
            if wish.required:
                raise
            message = f"no `{wish.label}` build of torch {family.pins.get('torch', '')} can be had ({_first(fault)})"
            resolver.listener(Note(message=f"{message}: the build of the index is used"))
        resolver = replace(resolver, torch=None)
    if lock is not None:
        try:
            return replace(resolver, python=request.python).lock(lock, name=family_id)
        except ResolutionError:
            message = f"the lock of `{family_id}` is not for Python {resolver.python}; resolving its pins"
            resolver.listener(Note(message=message))
    return resolver.request(request)


def _has_build(lock: Lock, wish: TorchWish) -> bool:
    """Whether the index's own build is the wanted one: on a Mac, that for its CPU."""
    if wish.label == "index" or (wish.label == "cpu" and sys.platform == "darwin"):
        return True
    held = torch_of(lock)
    return held is not None and wish.label != "auto" and wish.fits(held)


def _first(fault: EnvpinError) -> str:
    return fault.message.splitlines()[-1].strip()


def _stem(path: Path) -> str:
    return path.name.removeprefix("pylock.").removesuffix(".toml").removesuffix("pylock") or "pylock"
