"""The environment of an adapter: what its manifest recorded; without one, what its files tell, or its base's family."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from envpin.checkpoint.checkpoint import Checkpoint
from envpin.checkpoint.no_adapter import foreign_error
from envpin.core.errors import InputError
from envpin.core.place import local_path
from envpin.envs.locks.portable import LockRequest
from envpin.envs.refs.family import as_time, family_request
from envpin.manifest.closure import MERGE_CLOSURE, closure_of
from envpin.manifest.read import FILE_NAME, manifest_path, read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.place import OpenRemote, Place
    from envpin.inference.choose import CandidatePins
    from envpin.inference.infer import Inferred
    from envpin.manifest.types import Manifest
    from envpin.matrix.match import Match
    from envpin.matrix.types import Family


# What the stand-in for a manifest rests on: the files of the adapter, the family of its base, or its nearest relatives.
Basis = Literal["inferred", "family", "nearest"]
_PACKAGES = ("peft", "transformers")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unrecorded:
    """What stands in for a manifest: a family whose environment is used, or else versions that were inferred or lent.

    `title` says in words which environment it is, `evidence` why, `confidence` how sure the inference is, where there
    is one.
    """

    basis: Basis
    title: str
    family: Family | None
    request: LockRequest
    evidence: tuple[str, ...]
    confidence: str | None = None


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


def unrecorded(
    adapter: Place | Checkpoint, *, base: str | Place | Checkpoint | None = None, open_remote: OpenRemote | None = None
) -> Unrecorded:
    """The most likely environment of an adapter that has no manifest.

    Raises:
        InputError: nothing is known, or the folder holds no adapter.
    """
    return unrecorded_choices(adapter, base=base, open_remote=open_remote)[0]


def unrecorded_choices(
    adapter: Place | Checkpoint, *, base: str | Place | Checkpoint | None = None, open_remote: OpenRemote | None = None
) -> tuple[Unrecorded, ...]:
    """The environments that may be that of an adapter without a manifest, most likely first; at least one.

    What the adapter's files tell comes first. Where they tell nothing about peft or transformers, it is what the
    matrix knows about its base, alone.

    Raises:
        InputError: nothing is known, or the folder holds no adapter.
    """
    from envpin.inference.infer import infer

    found = infer(adapter, base=base, open_remote=open_remote)
    path = adapter.path if isinstance(adapter, Checkpoint) else adapter
    if found.observed.foreign is not None:
        raise foreign_error(path, found.observed.foreign)
    if found.says_something and found.candidates:
        return tuple(_inferred(found, candidate, path) for candidate in found.candidates)
    return (_of_family(found, path),)


def candidate_request(found: Inferred, candidate: CandidatePins, *, name: str | None = None) -> LockRequest:
    """What the lock of a candidate is made from: its pins, and the rest of the merge closure of their time."""
    pins = candidate.pins
    return LockRequest(
        name=name or _lock_name(found),
        requirements=(
            *(f"{package}=={version}" for package, version in pins.items()),
            *(package for package in MERGE_CLOSURE if package not in pins),
        ),
        python=candidate.python,
        exclude_newer=as_time(candidate.exclude_newer),
    )


def _inferred(found: Inferred, candidate: CandidatePins, path: Place) -> Unrecorded:
    family = found.family.family if _is_one(found.family) else None
    confidence = found.confidence
    evidence = tuple(
        f"{name} {found.known[name].describe(found.ranges[name].versions)} ({found.confidences[name]})"
        for name in _PACKAGES
        if found.ranges[name].known
    )
    if family is not None and family.known_good and _is_family(found, candidate, family):
        return Unrecorded(
            basis="family", title=f"the known-good one of {family.id}", family=family, request=family_request(family),
            evidence=(*evidence, *found.family.evidence), confidence=confidence,
        )  # fmt: skip
    pins = ", ".join(f"{name} {candidate.pins[name]}" for name in ("transformers", "peft"))
    return Unrecorded(
        basis="inferred",
        title=f"inferred {pins}",
        family=None,
        request=candidate_request(found, candidate, name=adapter_name(local_path(path))),
        evidence=evidence,
        confidence=confidence,
    )


def _is_family(found: Inferred, candidate: CandidatePins, family: Family) -> bool:
    """Whether the candidate is the family's own pins: then the family's lock, which was tried, is the better one."""
    torch = family.pins.get("torch")
    return all(family.pins.get(name) == candidate.pins[name] for name in _PACKAGES) and (
        torch in found.ranges["torch"].versions or not found.ranges["torch"].known
    )


def _of_family(inferred: Inferred, path: Place) -> Unrecorded:
    found = inferred.family
    family = found.family if _is_one(found) and found.family and found.family.known_good else None
    # A family may fit exactly and its own pins not: a config that transformers 5 wrote is misread by 4.
    if family is not None and found.pins == family.pins:
        return Unrecorded(
            basis="family", title=f"the known-good one of {family.id}", family=family, request=family_request(family),
            evidence=found.evidence,
        )  # fmt: skip
    if not found.pins:
        base = inferred.observed.base or path
        unpinnable = found.family.unpinnable if found.family is not None else None
        raise InputError(
            f"`{path}` has no {FILE_NAME}, and the matrix knows no versions for `{base}`"
            + (f": {unpinnable}" if unpinnable else ""),
            path=str(path),
            hint="name an environment yourself: transformers==V,peft==V,torch==V",
        )
    nearest = found.family.title if found.family is not None else f"model type {found.model_type}"
    return Unrecorded(
        basis="nearest",
        title=f"what is known about {nearest}",
        family=None,
        request=LockRequest(
            name=adapter_name(local_path(path)),
            requirements=(*found.requirements, *(name for name in MERGE_CLOSURE if name not in found.pins)),
            python=found.python or "3.11",
            exclude_newer=as_time(found.exclude_newer) if found.exclude_newer else None,
        ),
        evidence=found.evidence,
    )


def _is_one(found: Match) -> bool:
    """Whether it is one family and no other: by its config, or, where the base is not here, by its name."""
    return found.certainty == "exact" or (found.certainty == "by name" and not found.alternatives)


def _lock_name(found: Inferred) -> str:
    """A name without dots, as a lock must have: of the folder or of the repository."""
    last = found.observed.folder.replace("\\", "/").partition("@")[0].rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("-") or "adapter"


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
