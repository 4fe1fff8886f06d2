"""Hold back the user's signal handlers while the recorder works, and call them right after.

A handler that Python runs in the middle of our code may raise: the time-out of an alarm, a Ctrl-C. Every `except`
there, and in what it calls (`os.path.isfile` takes any OSError, which a TimeoutError is), would be a place where the
user's exception is lost. Blocking signals in the thread does not help, since another thread of the process takes them.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` makes enumerations of its answers, each time
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Type

# A record is written in under 0.3 s. Where a disk hangs, whoever wants to end the run must be able to.
_LONGEST = 5.0  # seconds

# Every step of a training comes by here several times: no asking for numbers that are no signals (32 and 33).
_NUMBERS = tuple(sorted(_signal.valid_signals()))
_handlers: Dict[int, Any] = {}  # the user's, while `_note` stands in their place
_came: List[int] = []
_holding = False
_began = 0.0


class Held:
    """A context in which the handlers wait. Inside another one, and in a thread where Python runs no handlers, it does
    nothing. It leaves the handlers as they were; only what `signal.siginterrupt` set is lost, which Python cannot ask.
    """

    _outermost = False

    def __enter__(self) -> None:
        global _holding, _began
        if _holding or not _in_main_thread():
            return
        try:
            if _stand_in():
                _began = time.monotonic()
                self._outermost = _holding = True  # from here on no handler raises
        except BaseException:  # a handler that was not replaced yet
            _restore()
            raise

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        global _holding
        if not self._outermost:
            return
        frame = sys._getframe(1)  # noqa: SLF001  what a handler is given
        try:
            try:
                _call(frame)
            finally:
                _restore()
                _call(frame)  # what came while the handlers were put back
        finally:
            _holding = False


def raised_by_handler(error: BaseException) -> bool:
    """Whether `error` comes from a handler that Python ran in the middle of what raised it: of all functions, those
    alone are given the frame that they interrupted."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        for value in trace.tb_next.tb_frame.f_locals.values():
            if value is trace.tb_frame or (isinstance(value, tuple) and any(one is trace.tb_frame for one in value)):
                return True
        trace = trace.tb_next
    return False


def _note(number: int, frame: Optional[FrameType]) -> None:
    if _holding and time.monotonic() - _began <= _LONGEST:
        _came.append(number)
    else:  # it may still stand there where a handler raised while it was put back
        _handlers[number](number, frame)


def _in_main_thread() -> bool:
    threading = sys.modules.get("threading")  # where nobody has imported it, there are no threads
    return threading is None or threading.current_thread() is threading.main_thread()


def _stand_in() -> bool:
    """Put `_note` in the place of every handler; whether there was any."""
    for number in _NUMBERS:
        try:
            handler = _signal.getsignal(number)
            if callable(handler) and handler is not _note:  # SIG_IGN, SIG_DFL and None are not
                _handlers[number] = handler
                _signal.signal(number, _note)
        except (OSError, ValueError) as error:  # no such signal here
            # Or what a handler raised that came just before it was replaced: that was raised further within.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            _handlers.pop(number, None)
    return bool(_handlers)


def _restore() -> None:
    try:
        for number in list(_handlers):
            # What we called may have set a handler of its own, which stays.
            if _signal.getsignal(number) is _note:
                _signal.signal(number, _handlers[number])
    except BaseException:  # of a handler that was back already
        _restore()
        raise


def _call(frame: FrameType) -> None:
    """Call what waited, once for every signal that came; an exception does not keep the next from being called."""
    global _holding
    while _came:
        number = _came.pop(0)
        _holding = False  # the handler may save a model itself, and be interrupted like any code of the user
        try:
            _handlers[number](number, frame)
        except BaseException:
            _call(frame)
            raise
        finally:
            _holding = True
