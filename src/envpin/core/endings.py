"""The end that others want: TERM and HUP unwind a command as Ctrl-C does, so that nothing is left of it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import FrameType


class EndedBySignal(KeyboardInterrupt):
    """Somebody asked this process to end. `number` is the signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def status(self) -> int:
        """The exit status, as a shell reports an end by this signal."""
        return 128 + self.number


class OrderlyEnd:
    """While this context lasts, TERM and HUP raise `EndedBySignal` in the main thread, once: who asks twice waits for
    the same end. Where one of them is ignored (nohup) or has a handler, it stays so."""

    def __init__(self) -> None:
        self._watched: list[int] = []

    def __enter__(self) -> Self:
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            try:
                if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                    signal.signal(number, self._end)
                    self._watched.append(number)
            except ValueError:  # not the main thread: whoever runs this in another one sees to its end
                break
        return self

    def __exit__(self, *_exception: object) -> None:
        for number in self._watched:
            signal.signal(number, signal.SIG_DFL)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        for one in self._watched:
            signal.signal(one, _wait)
        raise EndedBySignal(number)


def _wait(_number: int, _frame: FrameType | None) -> None:
    """The end is under way."""
