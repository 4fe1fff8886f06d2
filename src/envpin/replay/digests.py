"""sha256 of the files of a folder."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from envpin.core.files import digest_of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

# A core digests about 1.2 GB a second with SHA extensions, 0.4 without: four outrun most disks.
_AT_ONCE = 4


def _threads() -> int:
    """One core is left to the worker, which imports its libraries meanwhile, in one thread and for longer."""
    return max(1, min(_AT_ONCE, (os.cpu_count() or 1) - 1))


def folder_digests(folder: Path, names: Iterable[str], progress: Callable[[int], None] | None = None) -> dict[str, str]:
    """The sha256 of each named file of `folder` that exists, by name; `progress` is called from several threads."""
    there = [name for name in sorted(names) if (folder / name).is_file()]
    with ThreadPoolExecutor(max_workers=_threads()) as pool:
        found = pool.map(lambda name: digest_of_file(folder / name, progress), there)
        return dict(zip(there, found, strict=True))
