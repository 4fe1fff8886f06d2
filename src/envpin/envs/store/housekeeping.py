"""Taking folders out of the store: removed environments, and what killed builds left."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from envpin.core.files import remove_tree
from envpin.core.marks import BYTECODE

if TYPE_CHECKING:
    from pathlib import Path


def discard(folder: Path, building: Path) -> None:
    """Take an environment out of the store with one rename, then delete it with the byte code of its workers."""
    building.mkdir(parents=True, exist_ok=True)
    grave = building / f"{folder.name}-{os.getpid()}-{secrets.token_hex(4)}"
    folder.rename(grave)
    remove_tree(grave)
    remove_tree(folder.parent / BYTECODE / folder.name)


def size_of(folder: Path) -> int:
    """The bytes that removing `folder` frees: those of files that nothing else links to."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            status = os.lstat(os.path.join(parent, name))  # noqa: PTH118  15,000 of them
            total += status.st_size if status.st_nlink == 1 else 0
    return total


def remove_leftover(folder: Path) -> None:
    """Remove what a killed build left. Its uv may have outlived it for a moment, and still be writing."""
    remove_tree(folder)


def leftovers(building: Path) -> tuple[Path, ...]:
    """What killed builds left in `building`, and the byte code of environments that are gone."""
    left = sorted(building.iterdir()) if building.is_dir() else []
    kept = building.parent / BYTECODE
    compiled = sorted(kept.iterdir()) if kept.is_dir() else []
    return (*left, *(one for one in compiled if not (building.parent / one.name).exists()))
