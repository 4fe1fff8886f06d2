"""The environment of an adapter: what its manifest recorded; without one, what is known about its base's family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpin.envs.family import as_time, family_request
from envpin.envs.portable import LockRequest
from envpin.errors import InputError
from envpin.manifest.closure import MERGE_CLOSURE, closure_of
from envpin.manifest.read import FILE_NAME, manifest_path, read_manifest
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.subject import find_subject

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.manifest.types import Manifest
    from envpin.matrix.types import Family


@dataclass(frozen=True, kw_only=True, slots=True)
class Unrecorded:
    """What stands in for a manifest: a family whose environment is used, or else the nearest known versions.

    `evidence` says why, in words for people.
    """

    family: Family | None
    request: LockRequest
    evidence: tuple[str, ...]


def adapter_name(path: Path) -> str:
    """What an adapter is called: the name of its folder."""
    folder = path if path.is_dir() else path.parent
    return folder.resolve().name or "adapter"


def adapter_manifest(path: Path) -> Manifest | None:
    """The manifest of an adapter folder, or None where it has none; a file is taken to be one.

    Raises:
        InputError: it cannot be read.
    """
    if path.is_dir() and not (path / FILE_NAME).exists():
        return None
    return read_manifest(manifest_path(path))


def unrecorded(path: Path) -> Unrecorded:
    """What the matrix knows about the base of an adapter that has no manifest.

    Raises:
        InputError: it knows nothing, or the folder holds no adapter.
    """
    subject = find_subject(str(path))
    found = match(subject.config, subject.name, load_matrix())
    family = found.family if found.certainty == "exact" and found.family and found.family.known_good else None
    if family is not None:
        return Unrecorded(family=family, request=family_request(family), evidence=found.evidence)
    if not found.pins:
        raise InputError(
            f"`{path}` has no {FILE_NAME}, and the matrix knows no versions for its base",
            path=path,
            hint="name an environment yourself: transformers==V,peft==V,torch==V",
        )
    return Unrecorded(
        family=None,
        request=LockRequest(
            name=adapter_name(path),
            requirements=(*found.requirements, *(name for name in MERGE_CLOSURE if name not in found.pins)),
            python=found.python or "3.11",
            exclude_newer=as_time(found.exclude_newer) if found.exclude_newer else None,
        ),
        evidence=found.evidence,
    )


def recorded_request(manifest: Manifest, *, name: str, python: str, exclude_newer: str | None) -> LockRequest:
    """The request whose lock holds the merge closure of `manifest` at its recorded versions.

    Raises:
        InputError: the manifest lists no torch, transformers or peft.
    """
    closure = closure_of(manifest)
    if closure.missing:
        listed = ", ".join(f"`{one}`" for one in closure.missing)
        raise InputError(f"the manifest of `{name}` does not list {listed}", hint="name an environment yourself")
    return LockRequest(
        name=name,
        requirements=closure.requirements,
        constraints=closure.constraints,
        python=python,
        exclude_newer=exclude_newer,
    )
