"""The live step display of a terminal, drawn with rich on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from envpin.events import Note, Progress, Step

if TYPE_CHECKING:
    from rich.console import RenderableType

    from envpin.events import Event

_MARKS = {"done": ("✓", "green"), "skipped": ("–", "dim"), "failed": ("✗", "red")}


class LiveDisplay:
    """Finished steps scroll up as plain lines; the running one has a spinner and its progress."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._running: Step | None = None
        self._progress: Progress | None = None
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=8, transient=True)
        self._live.start()

    def on_event(self, event: Event) -> None:
        match event:
            case Step(state="start"):
                self._running, self._progress = event, None
            case Step():
                mark, style = _MARKS[event.state]
                line = Text.assemble(
                    (mark, style), f" {event.title}", (f"  {event.detail}" if event.detail else "", "dim")
                )
                self._console.print(line)
                self._running = self._progress = None
            case Progress():
                self._progress = event
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
        spinner = Spinner("dots", text=Text(f"{self._running.title}{_amount(self._progress)}"), style="cyan")
        return Group(spinner)


def _amount(progress: Progress | None) -> str:
    if progress is None:
        return ""
    label = f"  {progress.label}" if progress.label else ""
    if progress.unit != "B":
        total = f" of {progress.total}" if progress.total is not None else ""
        return f"{label}  {progress.done}{total} {progress.unit}"
    total = f" of {_size(progress.total)}" if progress.total is not None else ""
    return f"{label}  {_size(progress.done)}{total}"


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit in {"B", "kB"} else f"{value:.1f} {unit}"
        value /= 1000
    return f"{count} B"
