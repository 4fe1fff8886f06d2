"""One recorded run: what is put into its environment before it starts, and what is gathered when it is over.

Nothing here may keep the run from starting: where recording cannot be prepared, the command runs unrecorded, and the
outcome says why.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpin.core.files import NotRegularError, remove_tree
from envpin.core.runs import RUN_PREFIX, RUN_VARIABLE, clear_runs, own_name
from envpin.core.text_input import read_beginning
from envpin.recording.git import Status, commit_of
from envpin.recording.injected import HOOK, hook
from envpin.recording.named import named_files
from envpin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from envpin.manifest.types import Manifest
    from envpin.recording.beginning import Beginning

# A save makes a line of some hundred bytes: these are those of a run with ten thousand checkpoints, and room to spare.
_LINES_LIMIT = 16_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordOutcome:
    """What a run left. `manifests` in the order of their saves; `nothing` says why there are none; `faults` is what
    went wrong while recording; `seconds` is how long the slowest save was held up by recording."""

    manifests: tuple[Path, ...] = ()
    faults: tuple[str, ...] = ()
    nothing: str | None = None
    seconds: float = 0.0


class RecordSession:
    """Prepare a run (`environment`), then, when it is over, `finish` it. `close` removes what was only for the run."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], *, code_diff: bool = True, directory: Path | None = None
    ) -> None:
        """`code_diff`: keep the changes of tracked files as `envpin.patch` beside each manifest. The command runs in
        `directory`, the current one by default."""
        self.environment = dict(env)
        self._directory = directory
        self._code_diff = code_diff
        self._folder: Path | None = None
        self._status: Status | None = None
        self._unprepared: str | None = None
        try:
            self._prepare(argv)
        except Exception as failed:  # noqa: BLE001  whatever it is, the command is to run
            self._unprepared = f"recording could not be prepared: {failed}"

    def _prepare(self, argv: Sequence[str]) -> None:
        if os.pathsep in str(HOOK):
            self._unprepared = f"envpin is installed below `{HOOK}`, and PYTHONPATH cannot hold a `{os.pathsep}`"
            return
        folder = _private_folder()
        try:
            self._fill(folder, argv)
            inherited = self.environment.get("PYTHONPATH", "")
            entries = [entry for entry in inherited.split(os.pathsep) if entry != str(HOOK)] if inherited else []
            self.environment["PYTHONPATH"] = os.pathsep.join([str(HOOK), *entries])
            self.environment[RUN_VARIABLE] = str(folder)
            self._folder = folder
        except BaseException:
            remove_tree(folder)
            raise

    def _fill(self, folder: Path, argv: Sequence[str]) -> None:
        identity = os.urandom(8).hex()
        run: dict[str, object] = {
            "argv": hook("redaction").arguments(argv),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        here = self._directory or _current()
        told: dict[str, object] = {"id": identity, "envpin": __version__, "run": run}
        if here is not None:
            told.update(directory=str(here), named=named_files(argv, here))
        found = commit_of(here) if here is not None else None
        if found is not None:
            root, commit = found
            run["git"] = {"commit": commit, "root": str(root)}
            changes = folder / "git-changes.txt" if self._code_diff else None
            self._status = Status(root, folder / "git-status.txt", changes=changes)
        (folder / "run.json").write_text(json.dumps(told))

    def when_it_begins(self, tell: Callable[[Manifest], None]) -> Beginning | None:
        """Call `tell`, from a thread, with what is known before the first step; None where nothing is recorded."""
        if self._folder is None:
            return None
        from envpin.recording.beginning import Beginning

        return Beginning(self._folder, tell)

    def finish(self, tell: Callable[[str], None] = lambda _: None, *, status: int | None = None) -> RecordOutcome:
        """Complete the manifests of the run: digests too large for it, the tokenizer's files, git's answer, and last
        the weights of its base. `tell` hears of what takes long; `status` is what the command ended with."""
        if self._folder is None:
            return RecordOutcome(nothing=self._unprepared)
        if not self._folder.is_dir():
            return RecordOutcome(nothing=f"nothing is recorded: the run removed `{self._folder}`, where its parts meet")
        try:
            return self._finish(self._folder, tell, status)
        except Exception as failed:  # noqa: BLE001  the status of a run of days must not turn into our traceback
            return RecordOutcome(faults=(f"finishing: {type(failed).__name__}: {failed}",), nothing="nothing is listed")

    def _finish(self, folder: Path, tell: Callable[[str], None], status: int | None) -> RecordOutcome:
        from envpin.recording.base_digests import BaseDigests
        from envpin.recording.data_digests import DataDigests
        from envpin.recording.finish import GitAnswers, complete, complete_base, complete_data, locate
        from envpin.recording.patch import read_changes

        faults = _lines(folder, "faults")
        saves: dict[str, dict[str, Any]] = {}
        slowest = 0.0
        for save in saves_in(folder):
            slowest = max(slowest, save["seconds"])
            saves.pop(save["folder"], None)
            saves[save["folder"]] = save
        git = GitAnswers()
        if self._status is not None:
            changes = read_changes(self._status.changes()) if self._code_diff else None
            git = GitAnswers(dirty=self._status.dirty(), changes=changes)
        manifests: dict[Path, None] = {}
        for save in saves.values():
            path = locate(save)
            if path is not None:  # a checkpoint may have been rotated away: that is no fault
                manifests[path] = None
                faults += complete(path, save["kind"], git, status=status)
        digests = BaseDigests(tell)
        data = DataDigests()
        for path in manifests:
            faults += complete_data(path, data)
        for path in manifests:
            faults += complete_base(path, digests)
        unique = tuple(dict.fromkeys([*faults, *data.faults, *digests.faults]))
        nothing = None if manifests else self._why_nothing(folder, tried=bool(saves), faults=unique)
        return RecordOutcome(manifests=tuple(manifests), faults=unique, nothing=nothing, seconds=slowest)

    def _why_nothing(self, folder: Path, *, tried: bool, faults: tuple[str, ...]) -> str:
        if tried:
            return "everything that the run saved was removed again, so nothing is recorded"
        if faults:
            return "nothing is recorded"
        if not (folder / "seen").exists():
            return (
                "nothing is recorded: no Python of the run loaded the recorder "
                "(it was started with -I, -E or -S, with another PYTHONPATH or none, or is no Python); "
                "a script that sets PYTHONPATH keeps the recorder by `PYTHONPATH=src:$PYTHONPATH`"
            )
        if not _lines(folder, "wrapped"):
            if (folder / "too-old").exists():
                return "nothing is recorded: the run's Python is older than 3.8"
            return "nothing is recorded: the run imported neither transformers nor peft"
        return "nothing was saved: the run called no save_pretrained of a model or adapter"

    def close(self) -> None:
        if self._folder is not None:
            remove_tree(self._folder)


def _current() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # the command may run in a folder that is gone, too
        return None


def _private_folder() -> Path:
    """A new folder that only this user can enter. `tempfile` would cost a tenth of the start-up budget to import.

    Its name says who waits for the run, for whoever finds it later (`core.scratch`)."""
    if sys.platform == "win32":
        import tempfile

        return Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
    temporary = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108  0700 below
    clear_runs(temporary)
    folder = Path(temporary).resolve() / f"{RUN_PREFIX}{own_name()}-{os.urandom(8).hex()}"
    folder.mkdir(mode=0o700)
    return folder


def saves_in(folder: Path) -> list[dict[str, Any]]:
    """Every save of a run, in their order, as the recorder noted it in the run's folder."""
    return [json.loads(line) for line in _lines(folder, "saves")]


def _lines(folder: Path, kind: str) -> list[str]:
    found: list[str] = []
    for file in sorted(folder.glob(f"{kind}-*.txt"), key=lambda one: one.lstat().st_mtime_ns):
        with contextlib.suppress(NotRegularError):  # the run put it there, not the recorder
            found += [line for line in read_beginning(file, _LINES_LIMIT).splitlines() if line]
    return found
