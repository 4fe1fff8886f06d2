"""The folder in which a recorded run is repeated: its code as it was, its inputs linked."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import InputError
from envpin.core.files import digest_of_file, read_bounded
from envpin.manifest.training import CodeInfo, TrainingInfo
from envpin.recording.git import checkout
from envpin.recording.patch import PATCH_LIMIT, PATCH_NAME
from envpin.replay.training.outputs import RecordedOutputs

if TYPE_CHECKING:
    from envpin.manifest.types import GitState, Manifest

# Code is copied, so that a script that writes next to itself leaves the original alone; data is linked.
_COPIED = 4 * 1024 * 1024
_COPIED_IN_ALL = 512 * 1024 * 1024
# Beyond that many a folder is linked as a whole.
_ENTRIES = 100_000
_LEFT = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules"})


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoredSource:
    """The directory to repeat a run in; `code` says in words what its code is. `root` holds it, as deep as the recorded
    one lies, and what the run read next to it: `../base` leads there. `path` is where Python is to look for its code.
    `left_out` are large files that were written since the run began, so that a link to them could be written through.
    """

    working: Path
    root: Path
    code: str
    path: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()


def prepare_source(manifest: Manifest, folder: Path, scratch: Path, *, source: Path | None = None) -> RestoredSource:
    """Make the working directory below `scratch`.

    `folder` holds the manifest, and the patch beside it. With `source` it is a shadow of that folder; else the recorded
    commit with the recorded diff, or, where git does not know it, a shadow of the recorded directory if the script
    there still is the recorded one.

    Raises:
        InputError: the code cannot be had.
    """
    code = manifest.code
    outputs = RecordedOutputs(manifest, folder)
    if code is None or code.directory is None:
        raise InputError(f"the manifest of `{folder}` does not say which code ran", path=folder,
                         hint="it was recorded by an earlier envpin; record the run again")  # fmt: skip
    if source is not None and not source.is_dir():
        raise InputError(f"`{source}` is not a folder", path=source)
    directory = Path(os.path.normpath(code.directory))
    if not directory.is_absolute():
        raise InputError(f"`{code.directory}`, which the manifest of `{folder}` names, is no place on a machine",
                         path=folder, hint="--source DIR names a folder that holds the code")  # fmt: skip
    root = scratch / "tree"
    place = _Place(root=root, directory=directory)
    if source is not None:
        return place.filled(outputs, source.resolve(), manifest, code=f"that of {source}")
    reason = _from_git(manifest, folder, place)
    if reason is None and manifest.run and manifest.run.git:
        diff = " with its diff" if _has_diff(manifest) else ""
        words = f"commit {(manifest.run.git.commit or '')[:12]}{diff}"
        restored = place.filled(outputs, directory, manifest, code=words)
        _refuse_changed(place.changed(code), directory, "git does not track it")
        return restored
    if not directory.is_dir():
        raise InputError(
            f"the code of the run is not here: {reason}, and `{directory}` does not exist", path=directory,
            hint="--source DIR names a folder that holds it",
        )  # fmt: skip
    _refuse_changed(place.changed(code), directory, reason or "")
    return place.filled(outputs, directory, manifest, code=f"that of {directory}, unchanged since the run")


def _refuse_changed(changed: list[str], directory: Path, reason: str) -> None:
    if changed:
        listed = ", ".join(f"`{name}`" for name in changed[:5])
        raise InputError(
            f"the code has changed since the run ({listed}), and what it was cannot be restored: {reason}",
            path=directory, hint="--source DIR names a folder that holds it; a copy with changes is compared as such",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where below `root` the recorded `directory`, and what lies around it, is made again."""

    root: Path
    directory: Path

    def of(self, recorded: Path) -> Path:
        """What stands for a recorded place."""
        return self.root.joinpath(*Path(os.path.normpath(recorded)).parts[1:])

    def filled(self, outputs: RecordedOutputs, source: Path, manifest: Manifest, *, code: str) -> RestoredSource:
        """With what `source` has, and with what the run read outside of its directory."""
        working = self.of(self.directory)
        working.mkdir(parents=True, exist_ok=True)
        shadow = _Shadow(outputs, code=source)
        shadow.give(source, working)
        for outside in _read_outside(manifest, self.directory):
            shadow.give_outside(outside, self.of(outside))
        roots = map(Path, manifest.code.path if manifest.code else ())
        path = [self.of(one) if self.of(one).is_dir() else one for one in roots if one.is_absolute()]
        usable = tuple(one for one in path if one.is_dir() and os.pathsep not in str(one))
        left_out = tuple(shadow.left_out)
        return RestoredSource(working=working, root=self.root, code=code, path=usable, left_out=left_out)

    def changed(self, code: CodeInfo) -> list[str]:
        """The recorded files of code that are no longer there, or hold something else: as they were made again here,
        or where they lay."""
        recorded = {str(Path(code.folder or "", name)): digest for name, digest in code.files.items()}
        recorded |= {str(Path(code.directory or "", name)): digest for name, digest in code.named.items()}
        if code.script is not None and code.sha256 is not None:
            recorded[code.script] = code.sha256
        return [name for name, digest in recorded.items() if not self._holds(Path(os.path.normpath(name)), digest)]

    def _holds(self, recorded: Path, digest: str) -> bool:
        own = self.of(recorded)
        try:
            return digest_of_file(own if own.exists() else recorded) == digest
        except OSError:
            return False


def _read_outside(manifest: Manifest, directory: Path) -> list[Path]:
    """What the run is known to have read, or its command names, outside of its directory."""
    code, training = manifest.code or CodeInfo(), manifest.training or TrainingInfo()
    named = [word.rpartition("=")[2] for word in (manifest.run.argv[1:] if manifest.run else ())]
    base, folder = manifest.base, Path(code.folder or "")
    names = [
        base.path if base is not None and base.commit is None else None, code.script, *code.named, *code.path,
        *(str(folder / name) for name in code.files), *(name for one in training.datasets for name in one.files),
        *(word for word in named if word.startswith(os.pardir)),
    ]  # fmt: skip
    found = dict.fromkeys(Path(os.path.normpath(directory / name)) for name in names if name and "\0" not in name)
    return [path for path in found if _is_near(path, directory)]


def _is_near(path: Path, directory: Path) -> bool:
    """Whether a path lies around a directory, not in it and not as far off as the root of the file system."""
    shared = Path(os.path.commonpath([path, directory]))
    return shared not in {path, directory, Path(directory.anchor)}


def _has_diff(manifest: Manifest) -> bool:
    git = manifest.run.git if manifest.run else None
    return git is not None and git.patch is not None and git.patch.file is not None


def _from_git(manifest: Manifest, folder: Path, place: _Place) -> str | None:
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
    target = place.of(root)
    said = checkout(root, git.commit, target, patch=patch)
    if said is None and manifest.code is not None and manifest.code.script:
        restored = _restored(manifest.code, root, target)
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


class _Shadow:
    """Give a folder what another one has and it lacks: folders of its own, small files as copies, the rest as links.

    A folder is never linked to unless the original is a link: through it the repeat would write next to what it
    repeats. What the run wrote is left out, and so are large files of which it may have written: `left_out`.
    """

    def __init__(self, outputs: RecordedOutputs, *, code: Path) -> None:
        self.left_out: list[str] = []
        self._outputs = outputs
        self._root = code
        self._entries = _ENTRIES
        self._bytes = _COPIED_IN_ALL

    def give(self, source: Path, target: Path) -> None:
        if not source.is_dir():
            return
        for entry in os.scandir(source):
            path, own = Path(entry.path), target / entry.name
            self._entries -= 1
            if entry.name in _LEFT or self._outputs.holds(path):
                continue
            if entry.is_dir() and self._is_mirrored(entry):
                existed = own.is_dir()
                own.mkdir(exist_ok=True)
                self.give(path, own)
                if not existed and self._held_outputs_alone(path, own):
                    own.rmdir()  # the run has made it, and may fail where it is there already
            elif not os.path.lexists(own):
                self._give_one(entry, path, own)

    def give_outside(self, path: Path, own: Path) -> None:
        """One file or folder that lies outside of the directory."""
        if not path.exists() or os.path.lexists(own) or self._outputs.holds(path) or path == Path(path.anchor):
            return
        own.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            own.mkdir()
            self.give(path, own)
        else:
            self._give_one(path, path, own)

    def _held_outputs_alone(self, path: Path, own: Path) -> bool:
        return not any(own.iterdir()) and any(self._outputs.holds(inner) for inner in path.iterdir())

    def _is_mirrored(self, entry: os.DirEntry[str]) -> bool:
        if entry.is_symlink():
            return self._outputs.output.is_relative_to(entry.path)
        return self._entries > 0

    def _give_one(self, entry: os.DirEntry[str] | Path, path: Path, own: Path) -> None:
        if entry.is_file():
            status = entry.stat()
            if status.st_size <= min(_COPIED, self._bytes):
                self._bytes -= status.st_size
                shutil.copy2(path, own)
                return
            if not entry.is_symlink() and self._outputs.may_have_written(path, status.st_mtime):
                self.left_out.append(os.path.relpath(path, self._root))
                return
        own.symlink_to(path)
