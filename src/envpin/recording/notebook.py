"""`%load_ext envpin`: record every save of a notebook's kernel, and show after a cell what it recorded.

Whatever goes wrong in here is a warning in the notebook: no cell may fail because it was recorded.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import warnings
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from envpin.api import RecordingWarning
from envpin.core.command_text import command_text
from envpin.core.runs import RUN_VARIABLE
from envpin.core.sizes import counted
from envpin.manifest.read import read_manifest
from envpin.recording.finish import GitAnswers, complete, locate
from envpin.recording.injected import hook
from envpin.recording.session import RecordSession, saves_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envpin.manifest.types import Manifest


class Shell(Protocol):
    """The part of IPython's InteractiveShell that is used here."""

    events: ShellEvents
    display_pub: ShellDisplay


class ShellEvents(Protocol):
    def register(self, event: str, function: Callable[..., None], /) -> None: ...
    def unregister(self, event: str, function: Callable[..., None], /) -> None: ...


class ShellDisplay(Protocol):
    def publish(self, data: Mapping[str, str]) -> None: ...


class NotebookRecorder:
    """Watches the kernel that it is made in. `close` ends that, and completes what was recorded."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._seen: dict[str, float] = {}
        self._session: RecordSession | None = None
        folder = os.environ.get(RUN_VARIABLE)
        if folder is None:  # else the kernel itself is under `envpin record`, which watches and completes
            self._session = RecordSession(["jupyter"], os.environ)
            folder = self._session.environment.get(RUN_VARIABLE)
            if folder is not None:
                # For what cells start (`!python train.py`, launchers): recorded with this kernel.
                os.environ.update({name: self._session.environment[name] for name in (RUN_VARIABLE, "PYTHONPATH")})
                hook().install(folder)
        self._folder = Path(folder) if folder is not None else None
        shell.events.register("post_run_cell", self.after_cell)
        atexit.register(self.close)
        self._show(self._greeting())

    def after_cell(self, *_result: object) -> None:
        """Show what was saved since the last cell."""
        try:
            manifests = self._new_manifests()
            if manifests:
                self._show([_row(path, read_manifest(path)) for path in manifests])
        except Exception as failed:  # noqa: BLE001  a cell of days may not end in our traceback
            warnings.warn(f"envpin: {type(failed).__name__}: {failed}", RecordingWarning, stacklevel=2)

    def close(self) -> None:
        """Stop watching cells, and complete the manifests."""
        atexit.unregister(self.close)
        with contextlib.suppress(ValueError):  # it was taken off already
            self._shell.events.unregister("post_run_cell", self.after_cell)
        if self._session is not None:
            self._session.finish()
            self._session.close()
            os.environ.pop(RUN_VARIABLE, None)

    def _new_manifests(self) -> list[Path]:
        found = []
        for save in saves_in(self._folder) if self._folder is not None else ():
            path = locate(save)
            if path is None:
                continue
            written = path.stat().st_mtime
            if self._seen.get(str(path)) != written:
                if self._session is not None:
                    complete(path, save["kind"], GitAnswers())
                self._seen[str(path)] = path.stat().st_mtime
                found.append(path)
        return found

    def _greeting(self) -> list[tuple[str, str]]:
        if self._folder is None:
            return [("not recording", "the recorder could not be prepared in this kernel")]
        held = {one["name"]: one["version"] for one in hook("surroundings").distributions()}
        shown = [f"{name} {held[name]}" for name in ("transformers", "peft", "torch") if name in held]
        known = ", ".join(shown) or "neither transformers nor peft is installed"
        return [("recording", f"every save_pretrained of this kernel leaves its envpin.json ({known})")]

    def _show(self, rows: list[tuple[str, str]]) -> None:
        text = "\n".join(f"envpin: {name}: {said}" for name, said in rows)
        cells = "".join(
            f'<tr><th style="text-align:left;padding:.15rem .75rem .15rem 0">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(said)}</td></tr>'
            for name, said in rows
        )
        html = (
            '<div style="border-left:.25rem solid #17734a;padding:.1rem .75rem;margin:.25rem 0">'
            f"<strong>envpin</strong><table>{cells}</table></div>"
        )
        self._shell.display_pub.publish({"text/plain": text, "text/html": html})


def _row(path: Path, manifest: Manifest) -> tuple[str, str]:
    """The folder, and in one line what a merge will need."""
    base = manifest.base
    said = [
        f"{manifest.saved.kind if manifest.saved and manifest.saved.kind else 'save'} recorded",
        f"base {(base.id or base.path or 'not recorded') if base else 'not recorded'}",
    ]
    if base is not None and base.commit:
        said.append(f"commit {base.commit[:12]}")
    said += [f"{one.rows_before} → {counted(one.rows_after, 'row')}" for one in manifest.resizes]
    said += [f"fault: {fault}" for fault in manifest.faults[:2]]
    said.append(f"later: {command_text('envpin', 'replay', 'merge', path.parent.name, '-o', 'MERGED')}")
    return str(path.parent), "; ".join(said)


_active: list[NotebookRecorder] = []


def load_ipython_extension(shell: Shell) -> None:
    """`%load_ext envpin`"""
    if not _active:
        _active.append(NotebookRecorder(shell))


def unload_ipython_extension(_shell: Shell) -> None:
    """`%unload_ext envpin`"""
    while _active:
        _active.pop().close()
