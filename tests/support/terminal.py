"""A program on a real pseudo-terminal: type keys, wait for what it prints, learn how it ended."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType


class Terminal:
    """One program as the leader of its own session, with the terminal that we hold the other end of."""

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, columns: int | None = None
    ) -> None:
        self.screen = ""
        self._read = 0
        self._status: int | None = None
        # A key that is typed before the program runs must find what a shell's child has, and not this Python's handler.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self.pid, self._master = pty.fork()
        if self.pid != 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        else:
            try:
                if columns is not None:
                    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                os.execvpe(argv[0], list(argv), dict(os.environ if env is None else env))  # noqa: S606
            finally:
                os._exit(127)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._status is None:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._master)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def expect(self, text: str, *, within: float = 30.0) -> str:
        """Wait until `text` has been printed after what was expected before; what came until then."""
        deadline = time.monotonic() + within
        while text not in self.screen[self._read :]:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} was not printed; the screen holds:\n{self.screen}"
            ready, _, _ = select.select([self._master], [], [], left)
            if ready:
                try:
                    self.screen += os.read(self._master, 65536).decode(errors="replace")
                except OSError as closed:  # the last process of the terminal has gone
                    raise AssertionError(f"ended before {text!r}; the screen holds:\n{self.screen}") from closed
        end = self.screen.index(text, self._read) + len(text)
        seen, self._read = self.screen[self._read : end], end
        return seen

    def wait(self, *, within: float = 30.0) -> int:
        """Its exit status, 128 + N where signal N ended it. Reads on meanwhile, so that it can end."""
        deadline = time.monotonic() + within
        while True:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self._status = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                self._drain()
                return self._status
            assert time.monotonic() < deadline, f"did not end; the screen holds:\n{self.screen}"
            self._drain()
            time.sleep(0.01)

    def _drain(self) -> None:
        while select.select([self._master], [], [], 0)[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            self.screen += data.decode(errors="replace")
