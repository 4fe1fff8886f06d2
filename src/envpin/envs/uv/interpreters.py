"""Interpreters that version managers keep where uv does not look: it sees their shims, which may refuse to run."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def managed_interpreter(version: str, environ: Mapping[str, str] | None = None) -> Path | None:
    """The newest CPython `version` (`3.8`, `3.8.18`) below a version manager's folder, or None."""
    found = [
        (patch, python)
        for folder in _folders(os.environ if environ is None else environ)
        for patch, python in _below(folder, version)
    ]
    return max(found)[1] if found else None


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
