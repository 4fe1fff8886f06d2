"""The commit of the working directory, and whether it had changes. No git process delays the run."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from envpin.core import process
from envpin.core.errors import InputError

_COMMIT = re.compile(r"^[0-9a-f]{40}(?:[0-9a-f]{24})?$")
_LINK_LIMIT = 5


def commit_of(folder: Path) -> tuple[Path, str] | None:
    """The root of the repository that holds `folder` and the commit checked out there, read from its files.

    None where there is no repository, no commit yet, or a layout that this does not know.
    """
    for root in (folder, *folder.parents):
        git = root / ".git"
        if git.exists():
            try:
                commit = _head(_git_folder(git))
            except (OSError, UnicodeDecodeError):
                return None
            return None if commit is None else (root, commit)
    return None


def _git_folder(git: Path) -> Path:
    if git.is_dir():
        return git
    # A worktree or submodule: the file says where its folder is.
    return (git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).resolve()


def _head(folder: Path) -> str | None:
    link = folder / "commondir"
    shared = (folder / link.read_text(encoding="utf-8").strip()).resolve() if link.is_file() else folder
    text = (folder / "HEAD").read_text(encoding="utf-8").strip()
    for _ in range(_LINK_LIMIT):
        if not text.startswith("ref:"):
            break
        name = text.removeprefix("ref:").strip()
        loose = next((one / name for one in (folder, shared) if (one / name).is_file()), None)
        text = loose.read_text(encoding="utf-8").strip() if loose else _packed(shared / "packed-refs", name)
    return text if _COMMIT.match(text) else None


def _packed(file: Path, name: str) -> str:
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            commit, _, reference = line.partition(" ")
            if reference == name:
                return commit
    return ""


class Status:
    """`git status`, running beside the run from its start; asked for its answer when the run is over."""

    def __init__(self, root: Path, output: Path) -> None:
        self._output = output
        self._child: process.Child | None = None
        # No optional locks: it must not make a git command of the user's wait or fail.
        argv = ["git", "--no-optional-locks", "-C", str(root), "status", "--porcelain", "--untracked-files=no"]
        variables = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        try:
            with output.open("wb") as sink, Path(os.devnull).open("r+b") as nothing:
                silent = nothing.fileno()
                self._child = process.start(argv, env=variables, stdin=silent, stdout=sink.fileno(), stderr=silent)
        except (InputError, OSError):
            self._child = None

    def dirty(self, *, patience: float = 2.0) -> bool | None:
        """Whether tracked files had changes; None where git could not say, or not within `patience` seconds."""
        if self._child is None:
            return None
        deadline = time.monotonic() + patience
        while self._child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._child.poll() != 0:
            process.end(self._child)
            return None
        return self._output.stat().st_size > 0
