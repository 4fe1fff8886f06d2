"""What a long call tells its caller while it runs. Library code emits; only `envpin.cli` draws.

A listener is any callable that takes one event; `ignore` is the listener of callers that do not care. Events are named
tuples, because importing dataclasses would add a third to the start of every command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias


class Step(NamedTuple):
    """A step of a plan starts, ends well, is skipped or fails. `key` is stable; `title` is for people."""

    key: str
    title: str
    state: Literal["start", "done", "skipped", "failed"] = "start"
    detail: str = ""


class Progress(NamedTuple):
    """Work done so far inside the running step; `total` is None where it is not known. `unit` is 'B' or a noun."""

    key: str
    done: int
    total: int | None = None
    unit: str = "B"
    label: str = ""


class Note(NamedTuple):
    """One line for people; a warning is shown even when quiet."""

    message: str
    level: Literal["debug", "info", "warning"] = "info"


Event: TypeAlias = Step | Progress | Note
Listener: TypeAlias = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """The listener that drops everything."""
