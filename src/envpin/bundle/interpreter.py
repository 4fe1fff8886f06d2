"""A Python that can be moved: one of uv's own builds, and what of it goes into a bundle."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.bundle.archive import BundleMember
from envpin.core import process
from envpin.core.command_text import command_text
from envpin.core.errors import InputError, RefusedError
from envpin.core.events import Note, ignore
from envpin.core.scratch import scratch
from envpin.envs.uv.command import find_uv

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpin.core.events import Listener
    from envpin.envs.locks.fitting import Target

# What running a merge never reads: other people's packages, tests, headers, the graphical toolkit, a static library.
_LEFT_OUT = re.compile(
    r"(?:share|include|lib/pkgconfig|lib/(?:tcl|tk|itcl|thread|tdbc|Tix)[^/]*)/"
    r"|lib/python[\d.]+t?/(?:site-packages|test|idlelib|turtledemo|tkinter|ensurepip|lib2to3|config-[^/]*)/"
    r"|(?:.*/)?(?:__pycache__|tests)/|.*\.a$"
)
# What the scripts of a bundle and the libraries use of a Python, and which files it took them from.
_ASKED = """
import contextlib, ctypes, hashlib, importlib, json, sys, venv, zipfile, zlib
for name in ("bz2", "lzma", "sqlite3", "ssl"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
try:
    with open("/proc/self/maps") as stream:
        mapped = sorted({line.split(None, 5)[5].strip() for line in stream if "/" in line})
except OSError:
    mapped = []
print("\\n".join([sys.base_prefix, json.__file__, venv.__file__, *mapped]))
"""
# Where the loader finds the libraries of a system, and those that every Linux with glibc has.
_SYSTEM = ("/lib", "/usr/lib")
_OF_LIBC = re.compile(r"(?:libc|libm|libdl|libpthread|librt|libutil|libresolv|libnss_\w+|ld-linux[\w-]*)[.-]")


def relocatable_python(target: Target, *, offline: bool, listener: Listener = ignore) -> tuple[BundleMember, ...]:
    """The files of a relocatable Python of that version, which uv installs where it is not there yet.

    They were run from another place first, and took nothing from where they came from.

    Raises:
        InputError: it is for another platform than this one's.
        NoInterpreterError, NetworkError: uv cannot get it.
        RefusedError: it cannot be moved.
    """
    if target.platform is not None and target.name != type(target)(platform=None, python=target.python).name:
        raise InputError(
            f"a Python for {target.name} cannot be had on this machine", hint="leave out --with-python, or bundle there"
        )
    root = find_uv().managed_python(target.python, offline=offline).resolve()
    version = ".".join(target.python.split(".")[:2])
    members = tuple(_members(root, version))
    reason, needed = _tried(root, members)
    if reason is not None:
        raise RefusedError(
            f"the Python in `{root}` cannot be moved: {reason}",
            hint=f"use one of uv's own builds: `{command_text('uv', 'python', 'install', version)}`",
        )
    if needed:
        message = f"this Python needs libraries of the system, on the other machine as well: {', '.join(needed)}"
        listener(Note(message=message, level="warning"))
    return members


def _members(root: Path, version: str) -> Iterator[BundleMember]:
    """The program, the standard library and its libraries. Links are given up; what they lead to is there by itself."""
    program = f"bin/python{version}"
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or _LEFT_OUT.match(name) or (name.startswith("bin/") and name != program):
            continue
        if not path.is_symlink() or name == program or not path.resolve().is_relative_to(root):
            yield BundleMember(name=f"python/{name}", source=path.resolve(), executable=name == program)


def _tried(root: Path, members: Sequence[BundleMember]) -> tuple[str | None, list[str]]:
    """Run it from another place: what is wrong with it there, and the libraries of the system that it needs."""
    with scratch("python") as folder:
        place = Path(folder).resolve()
        for one in members:
            target = place / one.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one.source or "", target)
        program = next((place / one.name for one in members if one.executable), None)
        if program is None:
            return "its `bin` has no program of that version", []
        program.chmod(0o755)
        completed = process.run([program, "-I", "-B", "-c", _ASKED], env=process.scrubbed_environment({}), cwd=place)
        if completed.status != 0:
            return (completed.stderr.strip().splitlines() or ["it does not start"])[-1], []
        prefix, *files = completed.stdout.splitlines()
        taken = [prefix, *(one for one in files if one.endswith(".py") or ".so" in Path(one).name)]
        used = [one for one in taken if not Path(one).is_relative_to(place)]
    system = [one for one in used if one.startswith(_SYSTEM)]
    left = next((one for one in used if one not in system or Path(one).is_relative_to(root)), None)
    if left is not None:
        return f"from another place it still uses `{left}`", []
    return None, sorted({Path(one).name for one in system if not _OF_LIBC.match(Path(one).name)})
