"""Where output goes: stdout is data, stderr is talk. rich is imported only when something is drawn on a terminal."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from envpin.cli.console.output import outputs, visible, visible_commands, visible_json
from envpin.cli.console.width import columns, wrapped
from envpin.core.events import Note, Progress, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.core.errors import EnvpinError
    from envpin.core.events import Event, Listener

# Below this nobody waits for a step: the limit of what feels immediate (Nielsen, Response times).
_WORTH_SAYING = 1.0
_MARKS = {"start": "…", "done": "✓", "skipped": "–", "failed": "✗"}


class Console:
    """One per run of the command line. Methods say what is shown, never how a terminal does it."""

    def __init__(self, *, json_mode: bool = False) -> None:
        self.json_mode = json_mode
        self._out, self._err = outputs()
        self.interactive = self._err.isatty() and os.environ.get("TERM") != "dumb"
        self._display: Any = None
        # How long each step took, by its key; of several with one key, together.
        self.seconds: dict[str, float] = {}
        self._began: dict[str, float] = {}

    def data(self, text: str) -> None:
        """Print the answer itself on stdout. Never raises (see `unanswered`). Ends what is drawn."""
        self.close()
        self._out.write(visible(text if text.endswith("\n") else text + "\n"))

    def commands(self, text: str) -> None:
        """Print lines for the runner of a CI system on stdout, as `data` does."""
        self.close()
        self._out.write(visible_commands(text + "\n"))

    def document(self, schema: int, body: Mapping[str, object]) -> None:
        """Print the one JSON document of `--json`."""
        self.close()
        text = json.dumps({"schema": schema, **body}, indent=2, ensure_ascii=False, default=str)
        self._out.write(visible_json(text, self._out.encoding) + "\n")

    @property
    def unanswered(self) -> OSError | None:
        """Why stdout could not be written, where somebody waits for it still: a full disk, not a reader that left."""
        return None if self._out.abandoned else self._out.fault

    def talk(self, text: str = "") -> None:
        """Print a line for people on stderr, above whatever is being drawn."""
        if self._display is not None:
            self._display.print(visible(text))
            return
        self._err.write(visible(text) + "\n")

    def warn(self, text: str) -> None:
        self.talk(f"warning: {text}")

    def error(self, error: EnvpinError) -> None:
        """Render an error: what failed and why; a blank line; the hint."""
        self.close()
        if self.json_mode:
            self.document(1, {"error": error.to_json()})
        self.talk(self._broken(f"error: {error.message}"))
        if error.hint:
            hint = f"\nhint: {error.hint}"
            self.talk(hint if "envpin " in hint else self._broken(hint))  # a command is copied in one piece

    def _broken(self, text: str) -> str:
        """Prose broken at words, which a terminal breaks within them."""
        return "\n".join(wrapped([text], indent=4, width=columns() or 80)) if self.interactive else text

    def listener(self) -> Listener:
        """A listener that draws live on a terminal and writes plain lines elsewhere, and notes how long steps take."""
        draw: Listener = self._plain
        if self.interactive:
            from envpin.cli.console.live import LiveDisplay

            if self._display is None:
                self._display = LiveDisplay()
            draw = self._display.on_event
        return lambda event: draw(self._timed(event) if isinstance(event, Step) else event)

    def _timed(self, step: Step) -> Step:
        """The step, with its seconds where people wait for it and it does not say so itself."""
        if step.state == "start":
            self._began[step.key] = time.monotonic()
            return step
        took = time.monotonic() - self._began.pop(step.key, time.monotonic())
        self.seconds[step.key] = round(self.seconds.get(step.key, 0.0) + took, 3)
        if took < _WORTH_SAYING or step.detail.endswith(" s"):
            return step
        return step._replace(detail=f"{step.detail}, {took:.1f} s" if step.detail else f"{took:.1f} s")

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

    def close(self) -> None:
        """End the live display, leaving what it last drew."""
        if self._display is not None:
            self._display.close()
            self._display = None
