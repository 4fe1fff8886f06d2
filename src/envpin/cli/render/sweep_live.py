"""The live table of a sweep, drawn with rich on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    Row = tuple[str, Counter[str]]


class LiveTable:
    """A row per environment: how many steps worked, failed, ran out of time or could not be tried."""

    def __init__(self, rows: Callable[[], Sequence[Row]], footer: Callable[[], str]) -> None:
        """`rows` gives (environment, counts of its outcomes), `footer` the line below them, at each drawing."""
        self._rows, self._footer = rows, footer
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4, transient=True)
        self._live.start()

    def print(self, text: str) -> None:
        """A line above the table."""
        self._console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("environment", no_wrap=True, overflow="ellipsis")
        for head in ("ok", "fail", "timed out", "not run"):
            table.add_column(head, justify="right")
        for name, counts in self._rows():
            table.add_row(name, *(str(counts[key] or "") for key in ("ok", "fail", "timeout", "untestable")))
        return Group(table, Text(self._footer(), style="cyan", no_wrap=True, overflow="ellipsis"))
