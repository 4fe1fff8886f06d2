"""The versions that an environment reference means, without resolving or building anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.errors import InputError
from envpin.core.text_input import read_text
from envpin.core.toml_input import BadTomlError, parse_toml
from envpin.envs.locks.requirements import check_requirements, exact_pins
from envpin.envs.refs.reference import (
    AdapterReference,
    FamilyReference,
    LockReference,
    PinsReference,
    parse_reference,
)

if TYPE_CHECKING:
    from pathlib import Path

# Locks have some hundred kB; this only bounds what a stranger's file may take.
_LOCK_LIMIT = 64_000_000


def versions_of(reference: str) -> dict[str, str]:
    """Package to version, as far as the reference itself tells.

    Raises:
        InputError: it is no reference, cannot be read, or tells no version.
    """
    match parse_reference(reference):
        case PinsReference(requirements=requirements):
            found = exact_pins(check_requirements(requirements))
        case FamilyReference(id=name):
            found = _of_family(name)
        case LockReference(path=path):
            found = _of_lock(path)
        case AdapterReference(path=path):
            found = _of_manifest(path)
    if not found:
        raise InputError(
            f"`{reference}` tells no version", hint="name versions: --target transformers==4.43.1,peft==0.12.0"
        )
    return found


def _of_family(name: str) -> dict[str, str]:
    from envpin.envs.refs.family import unknown_family
    from envpin.matrix.load import load_matrix

    matrix = load_matrix()
    family = matrix.families.get(name)
    if family is None:
        raise unknown_family(name, matrix)
    return family.pins


def _of_lock(path: Path) -> dict[str, str]:
    try:
        packages = parse_toml(read_text(path, limit=_LOCK_LIMIT)).get("packages")
    except BadTomlError as error:
        raise InputError(f"`{path}` cannot be read as a lock: {error}", path=path) from error
    entries = packages if isinstance(packages, list) else []
    return {
        entry["name"]: entry["version"]
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("version"), str)
    }


def _of_manifest(path: Path) -> dict[str, str]:
    from envpin.manifest.read import read_manifest

    return {one.name: one.version for one in read_manifest(path).distributions}
