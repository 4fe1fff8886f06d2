"""File systems of a test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A new `folder` that is a tmpfs with that much room (`300k`); the test is skipped where nobody may mount one."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    may = hasattr(os, "geteuid") and os.geteuid() == 0
    if not may or subprocess.run(["mount", *options], capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


# How a file system without links, modes and two cases is made and mounted: by the kernel, else by a driver of FUSE.
_MADE = {"vfat": "mkfs.vfat", "exfat": "mkfs.exfat"}
_DRIVEN = {"vfat": ["fusefat", "-o", "rw+"], "exfat": ["mount.exfat-fuse"]}


@contextlib.contextmanager
def mounted_fat(folder: Path, kind: str) -> Iterator[Path]:
    """A new `folder` with 64 MB of `vfat` or `exfat`; the test is skipped where that cannot be had."""
    folder.mkdir()
    image = folder.with_name(f"{kind}.img")
    maker, driver = _MADE[kind], _DRIVEN[kind]
    if not (hasattr(os, "geteuid") and os.geteuid() == 0) or shutil.which(maker) is None:
        pytest.skip(f"only root may mount, and {maker} makes it")
    with image.open("wb") as stream:
        stream.truncate(64 << 20)
    _do(maker, str(image))
    device = _do("losetup", "-f", "--show", str(image)).strip()
    try:
        if not device or not (
            _is_mounted(["mount", "-t", kind, device, str(folder)], folder)
            or _is_mounted([*driver, image if kind == "vfat" else device, folder], folder)
        ):
            pytest.skip(f"neither the kernel nor {driver[0]} mounts {kind}")
        yield folder
    finally:
        _do("umount", "-l", str(folder))
        if device:
            _do("losetup", "-d", device)


def _is_mounted(command: list[str | Path], folder: Path) -> bool:
    return shutil.which(str(command[0])) is not None and (
        subprocess.run([str(word) for word in command], capture_output=True, check=False).returncode == 0
        and folder.is_mount()
    )


def _do(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
