"""sha256 of the files of a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.files import digest_of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


def folder_digests(folder: Path, names: Iterable[str], progress: Callable[[int], None] | None = None) -> dict[str, str]:
    """The sha256 of each named file of `folder` that exists, by name."""
    return {name: digest_of_file(folder / name, progress) for name in sorted(names) if (folder / name).is_file()}
