"""After the run: find each manifest, and complete it with what was too slow to find out inside the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from envpin.core.errors import EnvpinError
from envpin.manifest.read import FILE_NAME, read_manifest
from envpin.manifest.types import GitState, RunInfo, SavedInfo
from envpin.manifest.write import write_manifest
from envpin.recording.injected import hook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.manifest.types import Manifest
    from envpin.recording.base_digests import BaseDigests
    from envpin.recording.data_digests import DataDigests
    from envpin.recording.patch import CodeChanges

# A whole model is digested up to here (about six seconds of one core); an adapter always.
MODEL_LIMIT = 4 * 1024**3


@dataclass(frozen=True, kw_only=True, slots=True)
class GitAnswers:
    """What git said at the start of the run; None where it was not asked or did not answer."""

    dirty: bool | None = None
    changes: CodeChanges | None = None


def locate(save: Mapping[str, Any]) -> Path | None:
    """The manifest of a save; its folder may have been renamed since (the Trainer of transformers 4.37 and earlier
    saves a checkpoint under another name first). None where it is gone."""
    folder = Path(save["folder"])
    if (folder / FILE_NAME).is_file():
        return folder / FILE_NAME
    try:
        siblings = list(folder.parent.iterdir())
    except OSError:
        return None
    for sibling in siblings:
        try:
            status = sibling.stat()
        except OSError:
            continue
        if (status.st_dev, status.st_ino) == (save["device"], save["inode"]) and (sibling / FILE_NAME).is_file():
            return sibling / FILE_NAME
    return None


def complete(path: Path, kind: str, git: GitAnswers, *, status: int | None = None) -> list[str]:
    """Complete the manifest at `path`, or leave it and say why. `status` is what the run ended with."""
    try:
        manifest = read_manifest(path)
        completed = _completed(manifest, path.parent, kind, git, status)
        if completed != manifest:
            write_manifest(path, completed)
    except (EnvpinError, OSError, ValueError) as failed:
        return [f"completing {path}: {failed}"]
    return []


def complete_base(path: Path, digests: BaseDigests) -> list[str]:
    """Add the digests of the base's weights to the manifest at `path`, which `complete` has completed otherwise.

    Apart from the rest, and last: it may take minutes, and nothing else is to wait for it or to be lost with it.
    """
    try:
        manifest = read_manifest(path)
        base = digests.complete(manifest.base) if manifest.base is not None else None
        if base is not None and base != manifest.base:
            current = read_manifest(path)  # whoever wrote meanwhile is right
            if current.base == manifest.base:
                write_manifest(path, msgspec.structs.replace(current, base=base))
    except (EnvpinError, OSError, ValueError) as failed:
        return [f"digesting the base of {path}: {failed}"]
    return []


def complete_data(path: Path, digests: DataDigests) -> list[str]:
    """Add the digests of the files that its datasets were made of to the manifest at `path`."""
    try:
        manifest = read_manifest(path)
        training = manifest.training
        datasets = digests.complete(training.datasets) if training is not None else ()
        if training is not None and datasets != training.datasets:
            completed = msgspec.structs.replace(training, datasets=datasets)
            write_manifest(path, msgspec.structs.replace(manifest, training=completed))
    except (EnvpinError, OSError, ValueError) as failed:
        return [f"digesting the data of {path}: {failed}"]
    return []


def _completed(manifest: Manifest, folder: Path, kind: str, git: GitAnswers, status: int | None) -> Manifest:
    artefacts = hook("artefacts")
    limit = None if kind == "adapter" else MODEL_LIMIT
    saved = msgspec.convert(artefacts.saved(str(folder), kind, limit), SavedInfo)
    run = manifest.run or RunInfo()
    if run.git is not None:
        patch = git.changes.put_into(folder) if git.changes is not None else None
        state = GitState(commit=run.git.commit, dirty=git.dirty, root=run.git.root, patch=patch)
        run = msgspec.structs.replace(run, git=state)
    run = msgspec.structs.replace(run, status=status or None)
    tokenizer = manifest.tokenizer
    if tokenizer is not None and tokenizer.source == "saved":
        tokenizer = msgspec.structs.replace(tokenizer, files=artefacts.tokenizer_files(str(folder), None),
                                            rules_sha256=artefacts.tokenizer_rules(str(folder)))  # fmt: skip
    return msgspec.structs.replace(manifest, saved=saved, run=run, tokenizer=tokenizer)
