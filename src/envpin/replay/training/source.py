"""The folder in which a recorded run is repeated: its code as it was, its inputs linked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import InputError
from envpin.core.files import digest_of_file, read_bounded
from envpin.recording.git import checkout
from envpin.recording.patch import PATCH_LIMIT, PATCH_NAME

if TYPE_CHECKING:
    from envpin.manifest.training import CodeInfo
    from envpin.manifest.types import GitState, Manifest

# Code is copied, so that a script that writes next to itself leaves the original alone; data is linked.
_COPIED = 4 * 1024 * 1024
_LEFT = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules"})


def prepare_source(manifest: Manifest, folder: Path, scratch: Path, *, source: Path | None = None) -> tuple[Path, str]:
    """Make the working directory below `scratch`; and what its code is, in words.

    `folder` holds the manifest, and the patch beside it. With `source` it is a shadow of that folder; else the recorded
    commit with the recorded diff, or, where git does not know it, a shadow of the recorded directory if the script
    there still is the recorded one.

    Raises:
        InputError: the code cannot be had.
    """
    code = manifest.code
    if code is None or code.directory is None:
        raise InputError(f"the manifest of `{folder}` does not say which code ran", path=folder,
                         hint="it was recorded by an earlier envpin; record the run again")  # fmt: skip
    if source is not None:
        if not source.is_dir():
            raise InputError(f"`{source}` is not a folder", path=source)
        return _shadow(source.resolve(), scratch / "source", manifest), f"that of {source}"
    directory = Path(os.path.normpath(code.directory))
    if not directory.is_absolute():
        raise InputError(f"`{code.directory}`, which the manifest of `{folder}` names, is no place on a machine",
                         path=folder, hint="--source DIR names a folder that holds the code")  # fmt: skip
    reason = _from_git(manifest, folder, scratch / "tree")
    if reason is None and manifest.run and manifest.run.git and manifest.run.git.root:
        inside = directory.relative_to(os.path.normpath(manifest.run.git.root))
        working = scratch / "tree" / inside
        working.mkdir(parents=True, exist_ok=True)
        _link_missing(directory, working, manifest)
        diff = " with its diff" if _has_diff(manifest) else ""
        return working, f"commit {(manifest.run.git.commit or '')[:12]}{diff}"
    if not directory.is_dir():
        raise InputError(
            f"the code of the run is not here: {reason}, and `{directory}` does not exist", path=directory,
            hint="--source DIR names a folder that holds it",
        )  # fmt: skip
    changed = changed_files(code)
    if changed:
        listed = ", ".join(f"`{name}`" for name in changed[:5])
        raise InputError(
            f"the code has changed since the run ({listed}), and what it was cannot be restored: {reason}",
            path=directory, hint="--source DIR names a folder that holds it; a copy with changes is compared as such",
        )  # fmt: skip
    return _shadow(directory, scratch / "source", manifest), f"that of {directory}, unchanged since the run"


def changed_files(code: CodeInfo) -> list[str]:
    """The recorded files of code that are no longer there, or hold something else."""
    found: list[str] = []
    recorded = {str(Path(code.folder or "", name)): digest for name, digest in code.files.items()}
    if code.script is not None and code.sha256 is not None:
        recorded[code.script] = code.sha256
    for name, digest in recorded.items():
        try:
            if digest_of_file(Path(name)) != digest:
                found.append(name)
        except OSError:
            found.append(name)
    return found


def _has_diff(manifest: Manifest) -> bool:
    git = manifest.run.git if manifest.run else None
    return git is not None and git.patch is not None and git.patch.file is not None


def _from_git(manifest: Manifest, folder: Path, target: Path) -> str | None:
    """Check out what was recorded; None where it is there now, else why not."""
    git = manifest.run.git if manifest.run else None
    if git is None or git.commit is None or git.root is None:
        return "no commit was recorded"
    try:
        patch = _patch(git, folder)
    except _NoPatchError as missing:
        return str(missing)
    root = Path(os.path.normpath(git.root))
    directory = Path(os.path.normpath((manifest.code.directory if manifest.code else None) or git.root))
    if not root.is_absolute() or not directory.is_relative_to(root):
        return f"the run was not in the repository `{git.root}`"
    if not root.is_dir():
        return f"the repository `{git.root}` is not here"
    said = checkout(Path(git.root), git.commit, target, patch=patch)
    if said is None and manifest.code is not None and manifest.code.script:
        restored = _restored(manifest.code, Path(git.root), target)
        said = None if restored else "the script that ran is not what git has"
    if said is not None:
        shutil.rmtree(target, ignore_errors=True)
        return f"git cannot restore commit {git.commit[:12]}: {said}"
    return None


class _NoPatchError(Exception):
    """The changes of tracked files are not known."""


def _patch(git: GitState, folder: Path) -> str | None:
    """The recorded changes of tracked files; None where there were none."""
    if git.patch is None:
        if git.dirty is not False:
            raise _NoPatchError("tracked files had changes, and no diff was recorded")
        return None
    if git.patch.left_out:
        raise _NoPatchError(f"the diff was not recorded: {git.patch.left_out}")
    if git.patch.redacted:
        raise _NoPatchError("the recorded diff had secrets, which were taken out of it")
    try:
        return read_bounded(folder / PATCH_NAME, PATCH_LIMIT).decode()
    except (OSError, ValueError) as failed:
        raise _NoPatchError(f"`{PATCH_NAME}` cannot be read: {failed}") from failed


def _restored(code: CodeInfo, root: Path, target: Path) -> bool:
    """Whether the checkout holds the script that ran; one of an installed package needs none."""
    script = Path(code.script or "")
    if not script.is_relative_to(root):
        return True
    own = target / script.relative_to(root)
    return own.is_file() and (code.sha256 is None or digest_of_file(own) == code.sha256)


def _shadow(source: Path, target: Path, manifest: Manifest) -> Path:
    target.mkdir(parents=True)
    _link_missing(source, target, manifest)
    return target


def _link_missing(source: Path, target: Path, manifest: Manifest) -> None:
    """Give `target` what `source` has and it lacks: small files as copies, everything else by links. What the run wrote
    is left out."""
    if not source.is_dir():
        return
    output = Path(manifest.training.output) if manifest.training and manifest.training.output else None
    for entry in os.scandir(source):
        path = Path(entry.path)
        if entry.name in _LEFT or path == output:
            continue
        if output is not None and output.is_relative_to(path) and entry.is_dir(follow_symlinks=False):
            (target / entry.name).mkdir(exist_ok=True)  # a link would let the repeat write next to what it repeats
            _link_missing(path, target / entry.name, manifest)
        elif (target / entry.name).exists():
            continue
        elif entry.is_file() and entry.stat().st_size <= _COPIED:
            shutil.copy2(path, target / entry.name)
        else:
            (target / entry.name).symlink_to(path)
