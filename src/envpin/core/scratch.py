"""Temporary folders of this process. What a killed one left goes when the next is made."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.files import remove_tree
from envpin.core.runs import RUN_PREFIX, is_over, is_owner_gone, own_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "envpin-"
# Its owner holds a lock on this file. The system takes it away from whoever ends, however that was.
_OWNER = ".owner.lock"
# A folder of ours without that file is being made right now, or is one of a release that made none.
_YOUNG = 3600.0  # seconds
# Longer than any training run, where nothing tells whether it goes on.
_LONGEST_RUN = 60 * 86400.0  # seconds
_cleared: list[bool] = []


@contextlib.contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """A new folder that only this user can enter, removed at the end. `kind` is part of its name.

    Raises:
        OSError: it cannot be made.
    """
    from filelock import FileLock  # what only plans, and makes no folder, goes without it

    clear_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-{own_name()}-"))
    lock = FileLock(folder / _OWNER)
    try:
        lock.acquire(timeout=0)
        yield folder
    finally:
        lock.release()
        remove_surely(folder)


def remove_surely(path: Path) -> None:
    """Remove a folder of ours at the end of its work; Ctrl-C in the middle of that ends the program after it."""
    try:
        remove_tree(path)
    except BaseException:
        remove_tree(path)
        raise


def clear_leftovers() -> None:
    """Remove the temporary folders whose owners are gone, once in a process. Never raises."""
    if _cleared:
        return
    _cleared.append(True)
    with contextlib.suppress(OSError):
        for entry in os.scandir(tempfile.gettempdir()):
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                _clear(Path(entry.path))


def _clear(folder: Path) -> None:
    from filelock import FileLock, Timeout

    with contextlib.suppress(OSError, Timeout):
        status = folder.stat()
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            return
        age = time.time() - status.st_mtime
        if folder.name.startswith(RUN_PREFIX):
            over = is_over(str(folder.resolve()))
            if over or (over is None and age > _LONGEST_RUN):
                shutil.rmtree(folder, ignore_errors=True)
            return
        if not (folder / _OWNER).is_file():
            # Its owner was killed before it had the lock, or is about to take it.
            if age < _YOUNG and not is_owner_gone(folder.name):
                return
            shutil.rmtree(folder, ignore_errors=True)
            return
        with FileLock(folder / _OWNER, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
