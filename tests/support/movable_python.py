"""A Python that can be moved, made of the one that runs the tests, in the layout and the archive of uv's own builds.

uv's come from a host that test machines may not reach; what envpin does with them is the same.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
import tarfile
from pathlib import Path

VERSION = "{}.{}.{}".format(*sys.version_info[:3])
MINOR = VERSION.rpartition(".")[0]
_KEY = f"cpython-{VERSION}-linux-{platform.machine()}-gnu"
_SKIPPED = ("site-packages", "dist-packages", "test", "tests", "__pycache__", "idlelib", "ensurepip", "config-*", "*.a")


def movable_python(folder: Path, *, fixed: bool = False) -> Path:
    """A folder as `python install` leaves it in UV_PYTHON_INSTALL_DIR, which is `folder`.

    With `fixed` its program looks for its library where this Python was installed, as most builds do.
    """
    root, source = folder / _KEY, Path(sys.base_prefix)
    program = Path(source, "bin", f"python{MINOR}")
    (root / "bin").mkdir(parents=True)
    shutil.copytree(source / "lib" / f"python{MINOR}", root / "lib" / f"python{MINOR}",
                    ignore=shutil.ignore_patterns(*_SKIPPED))  # fmt: skip
    for library in (source / "lib").glob("libpython*.so*"):
        shutil.copy2(library, root / "lib" / library.name, follow_symlinks=False)
    shutil.copy2(program, root / "bin" / program.name)
    (root / "bin" / "python3").symlink_to(program.name)
    (root / "bin" / "python").symlink_to(program.name)
    packages = root / "lib" / f"python{MINOR}" / "site-packages"
    packages.mkdir()
    (packages / "script (dev).tmpl").write_text("a name that a bundle does not allow, as in setuptools\n")
    if not fixed:
        for binary in (root / "bin" / program.name, *(root / "lib").glob("libpython*.so.*")):
            _look_next_to_itself(binary, source / "lib")
    return root


def archived(root: Path, folder: Path) -> Path:
    """The list of downloads for UV_PYTHON_DOWNLOADS_JSON_URL, with one archive: that of `root`."""
    archive = folder / "python.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as stream:
        stream.add(root, "python")
    major, minor, patch = sys.version_info[:3]
    listed = folder / "downloads.json"
    entry = {
        "name": "cpython", "arch": {"family": platform.machine(), "variant": None}, "os": "linux", "libc": "gnu",
        "major": major, "minor": minor, "patch": patch, "prerelease": "", "url": archive.as_uri(),
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(), "variant": None, "build": "20260101",
    }  # fmt: skip
    listed.write_text(json.dumps({_KEY: entry}))
    return listed


def _look_next_to_itself(binary: Path, library: Path) -> None:
    """Have an ELF program look for libpython in its own `../lib`: the path in it is replaced by a shorter one."""
    data, old = binary.read_bytes(), str(library).encode() + b"\0"
    new = b"$ORIGIN/../lib\0"
    if old in data and len(new) <= len(old):
        mode = binary.stat().st_mode
        binary.unlink()
        binary.write_bytes(data.replace(old, new.ljust(len(old), b"\0")))
        binary.chmod(mode)
