"""Where output goes: stdout is data, stderr is talk. rich is imported only when something is drawn on a terminal."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from envpin.core.events import Note, Progress, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.core.errors import EnvpinError
    from envpin.core.events import Event, Listener

_MARKS = {"start": "…", "done": "✓", "skipped": "–", "failed": "✗"}


class Console:
    """One per run of the command line. Methods say what is shown, never how a terminal does it."""

    def __init__(self, *, json_mode: bool = False) -> None:
        self.json_mode = json_mode
        self.interactive = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._display: Any = None

    def data(self, text: str) -> None:
        """Print the answer itself on stdout."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def document(self, schema: int, body: Mapping[str, object]) -> None:
        """Print the one JSON document of `--json`."""
        self.data(json.dumps({"schema": schema, **body}, indent=2, ensure_ascii=False, default=str))

    def talk(self, text: str = "") -> None:
        """Print a line for people on stderr, above whatever is being drawn."""
        if self._display is not None:
            self._display.print(text)
            return
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def warn(self, text: str) -> None:
        self.talk(f"warning: {text}")

    def error(self, error: EnvpinError) -> None:
        """Render an error: what failed and why; a blank line; the hint."""
        self.close()
        if self.json_mode:
            self.document(1, {"error": error.to_json()})
        self.talk(f"error: {error.message}")
        if error.hint:
            self.talk(f"\nhint: {error.hint}")

    def listener(self) -> Listener:
        """A listener that draws live on a terminal and writes plain lines elsewhere."""
        if self.interactive:
            from envpin.cli.console.live import LiveDisplay

            if self._display is None:
                self._display = LiveDisplay()
            return self._display.on_event  # type: ignore[no-any-return]
        return self._plain

    def _plain(self, event: Event) -> None:
        match event:
            case Step(state="start"):
                self.talk(f"{_MARKS['start']} {event.title}")
            case Step():
                self.talk(f"{_MARKS[event.state]} {event.title}" + (f": {event.detail}" if event.detail else ""))
            case Note(level="warning"):
                self.warn(event.message)
            case Note(level="info"):
                self.talk(f"  {event.message}")
            case Note() | Progress():
                pass

    def abandon_stdout(self) -> None:
        """Point stdout at nothing, so that the interpreter's last flush does not raise again."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())

    def close(self) -> None:
        """End the live display, leaving what it last drew."""
        if self._display is not None:
            self._display.close()
            self._display = None
