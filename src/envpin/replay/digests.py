"""sha256 of the files of a folder."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_BLOCK = 1 << 20


def file_digest(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """The sha256 of one file, in hex. `progress` gets the number of bytes of each block."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            if progress is not None:
                progress(len(block))
    return digest.hexdigest()


def folder_digests(folder: Path, names: Iterable[str], progress: Callable[[int], None] | None = None) -> dict[str, str]:
    """The sha256 of each named file of `folder` that exists, by name."""
    return {name: file_digest(folder / name, progress) for name in sorted(names) if (folder / name).is_file()}
