"""Taking folders out of the store: removed environments, and what killed builds left."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING

from envpin.core.files import remove_tree
from envpin.core.marks import BYTECODE

if TYPE_CHECKING:
    from pathlib import Path


def discard(folder: Path, building: Path) -> None:
    """Take an environment out of the store with one rename, then delete it with the byte code of its workers."""
    import secrets

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


def disk_size(folder: Path) -> int:
    """The bytes that `folder` takes on the disk, each file of it once, whoever else links to it."""
    total, seen = 0, set[tuple[int, int]]()
    for parent, _, files in os.walk(folder):
        for name in files:
            status = os.lstat(os.path.join(parent, name))  # noqa: PTH118  15,000 of them
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            total += getattr(status, "st_blocks", 0) * 512 or status.st_size
    return total


def is_of_group(root: Path) -> bool:
    """Whether the group of `root` may write there: then it may in everything that is made below."""
    try:
        return os.name != "nt" and bool(root.stat().st_mode & stat.S_IWGRP)
    except OSError:
        return False


def open_to_group(folder: Path) -> None:
    """Let the group read every file of `folder`, and take away every folder of it."""
    for parent, _, files in os.walk(folder):
        _add_mode(parent, 0o070)
        for name in files:
            path = os.path.join(parent, name)  # noqa: PTH118
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode) and (wanted := 0o040 | (mode & 0o100) >> 3) & ~mode:
                _add_mode(path, wanted)


def _add_mode(path: str, bits: int) -> None:
    with contextlib.suppress(OSError):  # a file that uv's cache shares may be another user's
        os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode) | bits)  # noqa: PTH101


def users_of(folder: Path) -> tuple[int, ...]:
    """The processes that run in the environment `folder`, as far as Linux tells: an interpreter of it, or whatever has
    its scripts on PATH, as the command of `envpin run` and all that it starts."""
    found, wanted = [], os.fsencode(folder) + b"/"
    for one in os.listdir("/proc") if sys.platform == "linux" else ():  # noqa: PTH208
        if not one.isdigit() or int(one) == os.getpid():
            continue
        try:
            with open(f"/proc/{one}/cmdline", "rb") as stream:  # noqa: PTH123
                uses = stream.read(4096).startswith(wanted)
            if not uses:
                with open(f"/proc/{one}/environ", "rb") as stream:  # noqa: PTH123
                    variables = stream.read(_MOST_VARIABLES).split(b"\0")
                path = next((text[5:] for text in variables if text.startswith(b"PATH=")), b"")
                uses = any(entry.startswith(wanted) for entry in path.split(b":"))
        except OSError:  # it has ended, or is another user's
            continue
        if uses:
            found.append(int(one))
    return tuple(found)


# Linux takes 128 kB for one variable, and PATH stands among them anywhere.
_MOST_VARIABLES = 4_000_000


def remove_leftover(folder: Path) -> None:
    """Remove what a killed build left. Its uv may have outlived it for a moment, and still be writing."""
    remove_tree(folder)


def leftovers(building: Path) -> tuple[Path, ...]:
    """What killed builds left in `building`, and the byte code of environments that are gone."""
    left = sorted(building.iterdir()) if building.is_dir() else []
    kept = building.parent / BYTECODE
    compiled = sorted(kept.iterdir()) if kept.is_dir() else []
    return (*left, *(one for one in compiled if not (building.parent / one.name).exists()))
