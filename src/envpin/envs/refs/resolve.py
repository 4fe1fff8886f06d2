"""From a reference to an environment that can be built: which lock, for which Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.errors import ResolutionError
from envpin.core.events import Note
from envpin.envs.locks.lock import read_lock
from envpin.envs.refs.pins import Resolver
from envpin.envs.refs.reference import AdapterReference, FamilyReference, LockReference, parse_reference

if TYPE_CHECKING:
    from pathlib import Path

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
        case FamilyReference(id=family_id):
            return _of_family(family_id, resolver)
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
    """The family's committed lock; its pins resolved where it has none, or none for the asked Python."""
    from dataclasses import replace

    from envpin.envs.refs.family import committed_lock, family_request, find_family
    from envpin.matrix.load import load_matrix

    family = find_family(family_id, load_matrix())
    request = family_request(family, python=resolver.python)
    lock = committed_lock(family)
    if lock is not None:
        try:
            return replace(resolver, python=request.python).lock(lock, name=family_id)
        except ResolutionError:
            message = f"the lock of `{family_id}` is not for Python {resolver.python}; resolving its pins"
            resolver.listener(Note(message=message))
    return resolver.request(request)


def _stem(path: Path) -> str:
    return path.name.removeprefix("pylock.").removesuffix(".toml").removesuffix("pylock") or "pylock"
