"""Interpreters that uv need not look for, or cannot find: the one that runs envpin, and those of version managers, of
which uv sees the shims only, which may refuse to run."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.envs.uv.settings import where_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


# Who sets one of these, or `python-preference` of uv.toml, has uv look for it.
_CHOOSES_PYTHON = frozenset({"UV_PYTHON_PREFERENCE", "UV_MANAGED_PYTHON", "UV_NO_MANAGED_PYTHON",
                             "UV_PYTHON_SEARCH_PATH", "UV_PYTHON_INSTALL_DIR"})  # fmt: skip


def managed_interpreter(version: str, environ: Mapping[str, str] | None = None) -> Path | None:
    """The newest CPython `version` (`3.8`, `3.8.18`) below a version manager's folder, or None."""
    found = [
        (patch, python)
        for folder in _folders(os.environ if environ is None else environ)
        for patch, python in _below(folder, version)
    ]
    return max(found)[1] if found else None


def own_interpreter(version: str, environ: Mapping[str, str] | None = None) -> Path | None:
    """The CPython that runs envpin, outside of its virtual environment, where it is `version` and nothing says which
    Pythons to take; else None. uv takes 0.2 s to find one where shims stand first on PATH."""
    source = os.environ if environ is None else environ
    if _CHOOSES_PYTHON & source.keys() or "python-preference" in where_config(source):
        return None
    own = sys.version_info
    if sys.implementation.name != "cpython" or own.releaselevel != "final" or getattr(sys, "abiflags", None):
        return None  # free-threaded and debug builds take other wheels
    if version not in {f"{own.major}.{own.minor}", f"{own.major}.{own.minor}.{own.micro}"}:
        return None
    base: str | None = getattr(sys, "_base_executable", None)
    return Path(base) if base and Path(base).is_file() else None


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or ".")
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    yield Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    yield Path(environ.get("MISE_DATA_DIR") or data / "mise") / "installs" / "python"
    yield Path(environ.get("ASDF_DATA_DIR") or home / ".asdf") / "installs" / "python"


def _below(folder: Path, version: str) -> Iterator[tuple[tuple[int, ...], Path]]:
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return
    for name in names:
        # A plain version only: `pypy3.9-7.3`, `3.8-dev` and `miniconda3` are something else.
        if re.fullmatch(r"3\.\d+\.\d+", name) and (name == version or name.startswith(f"{version}.")):
            python = folder / name / "bin" / "python"
            if python.is_file():
                yield tuple(int(part) for part in name.split(".")), python
