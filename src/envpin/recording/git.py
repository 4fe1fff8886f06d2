"""The commit of the working directory, and whether it had changes, as git says.

Git is asked without running anything that a repository's own configuration names: hooks, `core.fsmonitor`, filters,
pagers, external diffs, transports of a partial clone. A repository that was unpacked from somewhere is a stranger's.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from envpin.core import process
from envpin.core.errors import InputError, TimedOutError

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# The run waits for these questions; they take about 3 ms each, and on a disk that hangs the run is worth more.
_PATIENCE = 1.0
# A checkout of a large repository, when nothing is training yet.
_CHECKOUT_PATIENCE = 600.0
_OFF = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    f"core.attributesFile={os.devnull}",
    "diff.external=",
    # A container's root often looks at another user's checkout. With everything above off, reading it is safe.
    "safe.directory=*",
)
# No lock that a git command of the user's would meet; no fetch for a partial clone (before git 2.45: by no protocol).
_VARIABLES = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}


def commit_of(folder: Path) -> tuple[Path, str] | None:
    """The root of the working tree that holds `folder` and the commit checked out there.

    None where there is no git, no repository, no commit yet, or no answer in time.
    """
    answer = _ask(folder, "rev-parse", "--show-toplevel", "--verify", "HEAD^{commit}")
    root, _, commit = (answer or "").rstrip("\n").rpartition("\n")
    return (Path(root), commit) if root and _COMMIT.fullmatch(commit) else None


class _Answer:
    """A question to git that runs alongside the run from its start; its answer is read when the run is over."""

    def __init__(self, root: Path, output: Path, question: tuple[str, ...], filters: tuple[str, ...]) -> None:
        self.output = output
        self._child: process.Child | None = None
        argv = _command(root, *question, settings=filters)
        try:
            with output.open("wb") as sink, Path(os.devnull).open("r+b") as nothing:
                silent = nothing.fileno()
                self._child = process.start(argv, env=_environment(), stdin=silent, stdout=sink.fileno(), stderr=silent)
        except (InputError, OSError):
            self._child = None

    def ready(self, patience: float) -> bool:
        """Whether git has answered; one that has not within `patience` seconds is ended."""
        if self._child is None:
            return False
        deadline = time.monotonic() + patience
        while self._child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._child.poll() != 0:
            process.end(self._child)
            return False
        return True


class Status:
    """What git says of tracked files at the start of a run: whether they have changes, and with `changes` which.

    Changes inside submodules are not looked at: git would look with what their own configuration names.
    """

    def __init__(self, root: Path, output: Path, *, changes: Path | None = None) -> None:
        self._status: _Answer | None = None
        self._changes: _Answer | None = None
        filters = _filters_off(root)
        if filters is None:
            return
        question = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
        self._status = _Answer(root, output, question, filters)
        if changes is not None:
            asked = ("diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=dirty",
                     "--src-prefix=a/", "--dst-prefix=b/", "--no-relative")  # fmt: skip
            self._changes = _Answer(root, changes, asked, filters)

    def dirty(self, *, patience: float = 2.0) -> bool | None:
        """Whether tracked files had changes; None where git could not say, or not within `patience` seconds."""
        if self._status is None or not self._status.ready(patience):
            return None
        return self._status.output.stat().st_size > 0

    def changes(self, *, patience: float = 2.0) -> Path | None:
        """The file with the changes of tracked files; None where git could not say in time, or was not asked."""
        if self._changes is None or not self._changes.ready(patience):
            return None
        return self._changes.output


def checkout(root: Path, commit: str, target: Path, *, patch: str | None = None) -> str | None:
    """Put the tracked files of `commit` into the new folder `target`, and apply a patch there.

    The repository, its index and its working tree stay as they are. None where that worked, else why not.
    """
    if _COMMIT.fullmatch(commit) is None:  # `--index-output=FILE` would be one, too
        return "the record names no commit"
    filters = _filters_off(root)
    if filters is None:
        return "a filter of the repository cannot be turned off"
    target.mkdir(parents=True)
    index = {"GIT_INDEX_FILE": str(target.parent / f"{target.name}.index")}
    for question in (("read-tree", commit), ("checkout-index", "--all", f"--prefix={target}{os.sep}")):
        if (said := _do(root, *question, settings=filters, variables=index)) is not None:
            return said
    if not patch:
        return None
    outside = {"GIT_DIR": os.devnull, "GIT_CEILING_DIRECTORIES": str(target.parent)}
    return _do(target, "apply", "--whitespace=nowarn", "-", variables=outside, stdin=patch.encode())


def _do(
    folder: Path, *arguments: str, variables: dict[str, str], settings: tuple[str, ...] = (), stdin: bytes | None = None
) -> str | None:
    try:
        environment = {**_environment(), **variables}
        done = process.run(_command(folder, *arguments, settings=settings), env=environment, stdin=stdin,
                           timeout=_CHECKOUT_PATIENCE)  # fmt: skip
    except (InputError, TimedOutError, OSError) as failed:
        return str(failed)
    return None if done.status == 0 else done.stderr.strip()[:500] or f"git ends with status {done.status}"


def _filters_off(root: Path) -> tuple[str, ...] | None:
    """Settings that leave every filter without a command; there is no switch for all, so git names them.

    None where a name cannot be set on a command line: then git is not asked.
    """
    names = _ask(root, "config", "--null", "--name-only", "--get-regexp", r"^filter\..*\.(clean|process|smudge)$") or ""
    keys = {name for name in names.split("\0") if name}
    if any("=" in key for key in keys):
        return None
    required = {f"{key.rpartition('.')[0]}.required=false" for key in keys}
    return (*sorted(f"{key}=" for key in keys), *sorted(required))


def _ask(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails or there is none."""
    try:
        completed = process.run(_command(folder, *arguments), env=_environment(), timeout=_PATIENCE, watched=False)
    except (InputError, TimedOutError, OSError):
        return None
    return completed.stdout if completed.status == 0 else None


def _command(folder: Path, *arguments: str, settings: tuple[str, ...] = ()) -> list[str]:
    configured = [word for setting in (*_OFF, *settings) for word in ("-c", setting)]
    return ["git", "--no-pager", "--no-optional-locks", "-C", str(folder), *configured, *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, **_VARIABLES}
