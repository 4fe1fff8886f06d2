"""Hear of a recorded run when its training begins, hours before it saves anything, in a thread beside it."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from envpin.manifest.types import Manifest

_EVERY = 0.5  # seconds


class Beginning:
    """Call `tell`, once, with what the recorder left in the run's `folder` before the first step. `stop` ends the wait.

    The thread takes no signals: those are for the main thread, which waits for the run.
    """

    def __init__(self, folder: Path, tell: Callable[[Manifest], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="envpin-beginning", daemon=True)
        if hasattr(signal, "pthread_sigmask"):
            before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                self._thread.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        else:
            self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(timeout=2)

    def _wait(self) -> None:
        while not self._over.wait(_EVERY):
            found = sorted(self._folder.glob("begun-*.json"))
            if found:
                from envpin.manifest.read import read_manifest  # not before the command has started

                with contextlib.suppress(Exception):  # what is told after the run says what is wrong with it
                    self._tell(read_manifest(found[0]))
                return
