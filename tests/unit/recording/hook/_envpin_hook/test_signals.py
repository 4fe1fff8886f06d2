"""Which exceptions come from a signal handler of the user, and so pass what catches the recorder's own."""

from __future__ import annotations

import functools
import signal
from typing import TYPE_CHECKING, Any

import pytest

from envpin.recording.injected import hook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

recorder = hook()


class _ExpiredError(TimeoutError):
    pass


def _expire(*_: object) -> None:
    raise _ExpiredError


def _named(number: int, frame: object) -> None:
    raise _ExpiredError(number)


def _once(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise _ExpiredError


def _more(_word: str, number: int, frame: object) -> None:
    _named(number, frame)


class _Handler:
    def method(self, _number: int, _frame: object) -> None:
        raise _ExpiredError

    def __call__(self, _number: int, _frame: object) -> None:
        raise _ExpiredError


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)
    recorder.faults.clear()


@pytest.mark.parametrize(
    "handler", [_expire, _named, _once, functools.partial(_more, "x"), _Handler().method, _Handler(),
                lambda number, _frame: _more("x", number, _frame)]
)  # fmt: skip
def test_what_a_handler_raises_passes_a_light_guard(handler: Callable[..., Any]) -> None:
    signal.signal(signal.SIGUSR1, handler)
    with pytest.raises(_ExpiredError):
        recorder.lightly("here", signal.raise_signal, signal.SIGUSR1)
    assert recorder.faults == []


def test_a_fault_of_our_own_ends_in_a_light_guard() -> None:
    signal.signal(signal.SIGUSR1, _named)
    assert recorder.lightly("here", lambda: int("x")) is None
    assert recorder.faults == ["here: ValueError: invalid literal for int() with base 10: 'x'"]
    assert recorder.lightly("here", lambda: 3) == 3
