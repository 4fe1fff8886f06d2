"""Ctrl-C that waits until a package is imported which does not survive it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class HeldImport(NamedTuple):
    """A finder under which signals that end a program wait while one package is imported.

    msgspec (0.22.0) forgets an exception that a signal's handler raises while it is imported, and crashes when it is
    used afterwards: of 300 interpreters interrupted at random moments 25 ended with a segmentation fault, and none with
    the signals held (28 ms).
    """

    package: str

    def install(self) -> None:
        """For the rest of the process; once."""
        if self.package not in sys.modules and self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the finder of the path does, with a loader that holds signals; None for every other module."""
        if name != self.package:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            _hold(spec.loader)
        return spec


def _hold(loader: Any) -> None:
    import signal

    if not hasattr(signal, "pthread_sigmask"):
        return  # Windows has no mask of signals
    execute = loader.exec_module

    def held(module: ModuleType) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        try:
            execute(module)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    loader.exec_module = held
