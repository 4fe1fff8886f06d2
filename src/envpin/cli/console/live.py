"""The live step display of a terminal, drawn with rich on stderr."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from envpin.core.events import Note, Progress, Step

if TYPE_CHECKING:
    from rich.console import RenderableType

    from envpin.core.events import Event

_WINDOW = 15.0  # seconds that a rate is taken over
_MARKS = {"done": ("✓", "green"), "skipped": ("–", "dim"), "failed": ("✗", "red")}


class LiveDisplay:
    """Finished steps scroll up as plain lines; the running one has a spinner and its progress."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._running: Step | None = None
        self._progress: Progress | None = None
        self._rate = Rate()
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=8, transient=True)
        self._live.start()

    def on_event(self, event: Event) -> None:
        match event:
            case Step(state="start"):
                self._running, self._progress, self._rate = event, None, Rate()
            case Step():
                mark, style = _MARKS[event.state]
                line = Text.assemble(
                    (mark, style), f" {event.title}", (f"  {event.detail}" if event.detail else "", "dim")
                )
                self._console.print(line)
                self._running = self._progress = None
            case Progress():
                self._progress = event
                self._rate.add(event.done, time.monotonic())
            case Note(level="warning"):
                self._console.print(Text.assemble(("warning: ", "yellow"), event.message))
            case Note(level="info"):
                self._console.print(Text("  " + event.message, style="dim"))
            case Note():
                pass

    def print(self, text: str) -> None:
        self._console.print(Text(text))

    def close(self) -> None:
        self._live.stop()
        sys.stderr.flush()

    def _render(self) -> RenderableType:
        if self._running is None:
            return Text("")
        spinner = Spinner("dots", text=Text(f"{self._running.title}{amount(self._progress, self._rate)}"), style="cyan")
        return Group(spinner)


class Rate:
    """Work per second over the last seconds, from what was done when."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, done: int, now: float) -> None:
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()

    def per_second(self) -> float | None:
        """None until a second was seen."""
        if not self._seen or self._seen[-1][0] - self._seen[0][0] < 1.0:
            return None
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return max(0.0, (after - before) / (last - first))


def amount(progress: Progress | None, rate: Rate) -> str:
    """What is done, of how much, how fast, and how long it will take."""
    if progress is None:
        return ""
    label = f"  {progress.label}" if progress.label else ""
    if progress.unit != "B":
        total = f" of {progress.total}" if progress.total is not None else ""
        return f"{label}  {progress.done}{total} {progress.unit}"
    total = f" of {_size(progress.total)}" if progress.total is not None else ""
    return f"{label}  {_size(progress.done)}{total}{_pace(progress, rate.per_second())}"


def _pace(progress: Progress, speed: float | None) -> str:
    if not speed:
        return ""
    words = f"  {_size(int(speed))}/s"
    if progress.total is None or progress.done >= progress.total:
        return words
    left = round((progress.total - progress.done) / speed)
    minutes, seconds = divmod(left, 60)
    hours, minutes = divmod(minutes, 60)
    shown = f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
    return f"{words}  {shown} left"


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit in {"B", "kB"} else f"{value:.1f} {unit}"
        value /= 1000
    return f"{count} B"
