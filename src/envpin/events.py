"""What a long call tells its caller while it runs. Library code emits; only `envpin.cli` draws.

A listener is any callable that takes one event. `ignore` is the listener of callers that do not care.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A step of a plan starts, ends well, is skipped or fails. `key` is stable; `title` is for people."""

    key: str
    title: str
    state: Literal["start", "done", "skipped", "failed"] = "start"
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Work done so far inside the running step; `total` is None where it is not known. `unit` is 'B' or a noun."""

    key: str
    done: int
    total: int | None = None
    unit: str = "B"
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """One line for people; a warning is shown even when quiet."""

    message: str
    level: Literal["debug", "info", "warning"] = "info"


Event: TypeAlias = Step | Progress | Note
Listener: TypeAlias = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """The listener that drops everything."""
