"""Whether what a recorded run read is still what it was: the weights of its base and its data files, by digest.

Asked before a repeat, which may take hours and would only say at its end that it trained on something else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.files import digest_of_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.manifest.types import Manifest


def changed_inputs(manifest: Manifest, working: Path) -> tuple[str, ...]:
    """Each input that is gone or another one by now, in words; those without a digest, and files of the Hub, which is
    asked for them by their commit, are not looked at.

    `working` stands for the directory in which the run was recorded.
    """
    return tuple(_changed(manifest, working))


def _changed(manifest: Manifest, working: Path) -> Iterator[str]:
    directory = manifest.code.directory if manifest.code else None
    base = manifest.base
    if base is not None and base.path is not None and base.commit is None:
        for name, digest in sorted(base.files.items()):
            yield from _file(Path(base.path, name), digest, directory, working)
    seen: set[str] = set()
    for dataset in manifest.training.datasets if manifest.training else ():
        for name, file in dataset.files.items():
            if file.sha256 is not None and name not in seen:
                seen.add(name)
                yield from _file(Path(name), file.sha256, directory, working)


def _file(recorded: Path, digest: str, directory: str | None, working: Path) -> Iterator[str]:
    path = recorded
    if not recorded.is_absolute():
        path = working / recorded
    elif directory is not None and recorded.is_relative_to(directory):
        path = working / os.path.relpath(recorded, directory)
    try:
        if digest_of_file(path) != digest:
            yield f"`{recorded}` has changed"
    except FileNotFoundError:
        yield f"`{recorded}` is gone"
    except OSError as failed:
        yield f"`{recorded}` cannot be read: {failed.strerror}"
