"""What a recorded run wrote, and where a repeat of it writes instead."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import EnvpinError
from envpin.manifest.read import FILE_NAME, read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpin.manifest.types import Manifest


# What a run saved outside of its output, below that of its repeat. The recorder puts absolute paths there, too.
_ELSEWHERE = "elsewhere"


class RecordedOutputs:
    """The folders that a run wrote.

    `output` is the trainer's; of a run without a trainer it is the folder of the save itself, as it lies now.
    `relative` is `output` as seen from where the command was started, None where that is not known.
    """

    def __init__(self, manifest: Manifest, folder: Path) -> None:
        training, code, run = manifest.training, manifest.code, manifest.run
        self.of_trainer = training is not None and training.output is not None
        self.output = Path(os.path.normpath((training.output if training else None) or folder.absolute()))
        directory = Path(os.path.normpath(code.directory)) if code is not None and code.directory else None
        self.relative = os.path.relpath(self.output, directory) if directory is not None else None
        self._directory = directory
        self._save = Path(os.path.normpath(folder.absolute()))
        self._resumed = _resumed_from(manifest, self.output)
        self._run = run.id if run is not None else None
        self._began = _time_of(run.started if run is not None else None)
        self._inputs = _inputs(manifest)

    def holds(self, path: Path) -> bool:
        """Whether `path` is a folder that the run saved something in."""
        return path == self.output or self._is_of_run(path)

    def _is_of_run(self, path: Path) -> bool:
        record = path / FILE_NAME
        if self._run is None or not record.is_file():
            return False
        try:
            found = read_manifest(record).run
        except EnvpinError:
            return False
        return found is not None and found.id == self._run

    def may_have_written(self, path: Path, changed: float) -> bool:
        """Whether a file that changed at `changed` may come from the run: it is younger, and nothing that was read."""
        return self._began is not None and changed > self._began and not any(map(path.is_relative_to, self._inputs))

    def place(self, out: Path) -> Path:
        """Where in a repeat's `out` the save lies that stands for the recorded one."""
        if self._save.is_relative_to(self.output):
            return out / self._save.relative_to(self.output)
        if self._directory is not None and self._save.is_relative_to(self._directory):
            return out / _ELSEWHERE / self._save.relative_to(self._directory)
        return out / _ELSEWHERE / self._save.name

    def names_shared(self, folder: Path) -> int:
        """How many of their last names a folder and that of the recorded save have in common."""
        pairs = zip(reversed(folder.parts), reversed(self._save.parts), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def prepare(self, working: Path, out: Path) -> None:
        """Make the start of a repeat that of the run: without the links of an earlier repeat (`replayed.link_back`),
        and with the checkpoint in the output that the run went on from, where an earlier run had made it."""
        place = self._in(working) if self.relative != os.curdir else None
        for link in (place, *(place.iterdir() if place is not None and place.is_dir() else ())):
            if link is not None and link.is_symlink() and link.readlink().is_relative_to(out.parent):
                link.unlink()
        found = self._resumed
        if found is None or self._is_of_run(found):
            return
        shutil.copytree(found, out / found.relative_to(self.output), ignore=shutil.ignore_patterns(FILE_NAME))
        if place is not None and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(out)

    def collect(self, manifests: Sequence[Path], working: Path, root: Path, out: Path) -> list[Path]:
        """Move what a repeat saved below `root`, which holds its directory and what lies around it, to `out`; the
        manifests where they lie then."""
        moved: list[Path] = []
        for manifest in sorted(manifests, key=lambda path: len(path.parts), reverse=True):  # the inner folders first
            folder = manifest.parent
            if folder.is_relative_to(root) and folder != working and not folder.is_relative_to(out):
                folder = self._move(folder, working if folder.is_relative_to(working) else root, self._in(working), out)
            moved.append(folder / FILE_NAME)
        return sorted(moved, key=lambda path: path.stat().st_mtime_ns)

    def _in(self, working: Path) -> Path | None:
        """The output of a repeat that follows the relative name, which may lead out of `working`."""
        return Path(os.path.normpath(working / self.relative)) if self.relative is not None else None

    @staticmethod
    def _move(folder: Path, place: Path, output: Path | None, out: Path) -> Path:
        if output is not None and folder.is_relative_to(output):
            target = out / folder.relative_to(output)
        else:
            target = out / _ELSEWHERE / folder.relative_to(place)
        target.mkdir(parents=True, exist_ok=True)
        for entry in list(folder.iterdir()):
            if not (target / entry.name).exists():
                shutil.move(entry, target / entry.name)
        return target


def _resumed_from(manifest: Manifest, output: Path) -> Path | None:
    """The checkpoint below `output` from which the training went on."""
    training, code = manifest.training, manifest.code
    if training is None or training.resumed_from is None:
        return None
    path = Path(os.path.normpath(Path((code.directory if code else None) or "/", training.resumed_from)))
    if not path.is_dir() and training.first_step is not None:
        path = output / f"checkpoint-{training.first_step - 1}"  # it asked for the last one
    return path if path.is_relative_to(output) and path != output and path.is_dir() else None


def _time_of(started: str | None) -> float | None:
    """A time of a record in seconds; None where it is none."""
    try:
        return datetime.strptime(started or "", "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _inputs(manifest: Manifest) -> tuple[Path, ...]:
    base = manifest.base.path if manifest.base is not None else None
    files = [name for one in (manifest.training.datasets if manifest.training else ()) for name in one.files]
    paths = map(Path, [*([base] if base else []), *files])
    return tuple(path for path in paths if path.is_absolute())
