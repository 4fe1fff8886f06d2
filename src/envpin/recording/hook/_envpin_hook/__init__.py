"""The recorder that `envpin record` injects. Standard library alone, Python 3.8 syntax, never imports envpin.

It watches a few modules being imported (`TARGETS`), wraps the functions that load and save models there, and writes
`envpin.json` after a save. It imports none of those modules itself. Whatever goes wrong in here is noted and told by
`envpin record` after the run: the training run must not notice (docs/explanation/recording.md, docs/adr/0002).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Callable, List, Optional, TypeVar

if TYPE_CHECKING:
    from types import ModuleType

FILE_NAME = "envpin.json"

T = TypeVar("T")

# The folder that all processes of one recorded run share; None where only the API (`envpin.record`) is used.
run_folder: Optional[str] = None
faults: List[str] = []


def install(run: Optional[str]) -> None:
    """Start watching imports. Modules that are loaded already are wrapped at once."""
    global run_folder
    run_folder = run
    from _envpin_hook import imports

    imports.watch()


def fault(where: str, error: BaseException) -> None:
    """Note that recording failed at `where`. Never raises."""
    try:
        from _envpin_hook import redaction

        told = redaction.text(" ".join(str(error).split()))[:300]
        line = "%s: %s: %s" % (where, type(error).__name__, told)
        if line not in faults and len(faults) < 50:
            faults.append(line)
            append("faults", line)
    except Exception:
        pass


def guarded(where: str, action: Callable[..., T], *args: object) -> Optional[T]:
    """Call `action`; an exception becomes a noted fault and None.

    What the user's signal handlers raise is not ours to swallow: they are held back until `action` is done.
    SystemExit passes.
    """
    from _envpin_hook import signals

    with signals.Held():
        try:
            return action(*args)
        except Exception as error:
            fault(where, error)
            return None


def lightly(where: str, action: Callable[..., T], *args: object) -> Optional[T]:
    """As `guarded`, in a tenth of its time: for what takes microseconds, holds no `except` and opens nothing.

    No handler is held back, so what one raises comes out of `action`; it passes, anything else is a noted fault.
    """
    try:
        return action(*args)
    except Exception as error:
        from _envpin_hook import signals

        if signals.raised_by_handler(error):
            raise
        fault(where, error)
        return None


def append(kind: str, line: str) -> None:
    """Add a line to this process's file of `kind` in the run folder. One file a process: ranks cannot collide."""
    if run_folder is None:
        return
    path = os.path.join(run_folder, "%s-%d.txt" % (kind, os.getpid()))
    flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)  # a pipe there must not hold the run
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, (line + "\n").encode("utf-8", "replace"))
    finally:
        os.close(descriptor)


def module(name: str) -> Optional[ModuleType]:
    """A module that the run has imported, or None. Never imports it."""
    return sys.modules.get(name)
