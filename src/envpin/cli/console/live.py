"""The live step display of a terminal, drawn with rich on stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich import progress as bars
from rich.console import Console
from rich.table import Column
from rich.text import Text

from envpin.cli.console.output import visible
from envpin.cli.console.width import wrapped
from envpin.core.events import Note, Progress, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from envpin.core.events import Event

# Seconds that a rate is taken over: long enough that one large shard does not make it jump. A judgement.
_WINDOW = 15.0
_MARKS = {"done": ("✓", "green"), "skipped": ("–", "dim"), "failed": ("✗", "red")}


class _Amount(bars.ProgressColumn):
    """What is done, of how much: bytes as `1.2/2.2 GB`, everything else as `3 of 13 releases`."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))
        self._bytes = bars.DownloadColumn()

    def render(self, task: bars.Task) -> Text:
        if task.fields["unit"] == "B":
            return self._bytes.render(task)
        total = f" of {task.total:.0f}" if task.total is not None else ""
        return Text(f"{task.completed:.0f}{total} {task.fields['unit']}", style="progress.download")


class _Speed(bars.ProgressColumn):
    """Bytes per second; nothing until there is one."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))
        self._speed = bars.TransferSpeedColumn()

    def render(self, task: bars.Task) -> Text:
        return self._speed.render(task) if task.speed else Text()


class _Name(bars.ProgressColumn):
    """The step and what it is at, cut where the line ends: the numbers come before it. Its own numbers come first."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True, overflow="ellipsis", ratio=1))

    def render(self, task: bars.Task) -> Text:
        label = task.fields["label"]
        parts = [label, task.description] if label[:1].isdigit() else [task.description, label]
        return Text("  ".join(part for part in parts if part), style="cyan", no_wrap=True, overflow="ellipsis")


class LiveDisplay:
    """Finished steps scroll up as plain lines; the running one has a spinner, its numbers, and its name."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        spinner, name = bars.SpinnerColumn(), _Name()
        self._plain = (spinner, name)
        self._counted = (spinner, _Amount(), bars.TimeRemainingColumn(compact=True), name)
        self._measured = (spinner, _Amount(), _Speed(), bars.TimeRemainingColumn(compact=True), name)
        self._bars = bars.Progress(
            *self._plain, console=self._console, transient=True, expand=True, refresh_per_second=8, get_time=clock,
            speed_estimate_period=_WINDOW,
        )  # fmt: skip
        self._task: bars.TaskID | None = None
        self._bars.start()

    def on_event(self, event: Event) -> None:
        match event:
            case Step(state="start"):
                self._end()
                self._bars.columns = self._plain
                self._task = self._bars.add_task(visible(event.title), total=None, unit="", label="")
            case Step():
                self._end()
                mark, style = _MARKS[event.state]
                detail = f"  {visible(event.detail)}" if event.detail else ""
                self._print_broken(Text.assemble((mark, style), f" {visible(event.title)}", (detail, "dim")))
            case Progress() if self._task is not None:
                self._bars.columns = self._measured if event.unit == "B" else self._counted
                self._bars.update(self._task, completed=event.done, total=event.total, unit=event.unit,
                                  label=visible(event.label))  # fmt: skip
            case Note(level="warning"):
                self._print_broken(Text.assemble(("warning: ", "yellow"), visible(event.message)))
            case Note(level="info"):
                self._print_broken(Text("  " + visible(event.message), style="dim"))
            case Note() | Progress():
                pass

    def print(self, text: str) -> None:
        for line in text.split("\n"):
            self._print_broken(Text(line))

    def close(self) -> None:
        self._bars.stop()

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

    def _print_broken(self, text: Text) -> None:
        """Print prose: a terminal would break it within a word. A word that is too long stays whole."""
        indent, lines = "", [] if text.plain else [text]
        while text.plain:
            first = wrapped([text.plain], indent=0, width=self._console.width - len(indent))[0]
            lines.append(Text.assemble(indent, text[: len(first)]))
            left = text.plain[len(first) :]
            text = text[len(text.plain) - len(left.lstrip()) :]
            indent = "    "
        self._print(Text("\n").join(lines))

    def _end(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
