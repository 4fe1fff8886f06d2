"""What a running step says of its progress, drawn as wide as the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from envpin.cli.console.live import LiveDisplay
from envpin.core.events import Event, Note, Progress, Step

GB = 1_000_000_000
MERGE = Step("stream", "merge tensor by tensor")


def drawn(*events: tuple[float, Event], width: int = 80) -> str:
    """The line of the running step after events that came at these seconds, without the spinner."""
    screen, copy = (
        Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, highlight=False)
        for _ in range(2)
    )
    now = 0.0
    display = LiveDisplay(screen, clock=lambda: now)
    try:
        for at, event in events:
            now = at
            display.on_event(event)
        with copy.capture() as caught:
            copy.print(display._bars.get_renderable())
    finally:
        display.close()
    lines = caught.get().splitlines()
    assert len(lines) == 1, "a line that wraps moves everything above it"
    assert len(lines[0]) <= width
    return lines[0][2:].rstrip()


def stream(done: int, total: int | None = 22 * GB // 10, label: str = "57 of 201 tensors") -> Progress:
    return Progress("stream", done, total, "B", label)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (80, "1.2/2.2 GB 200.0 MB/s 00:05 57 of 201 tensors  merge tensor by tensor"),
        (60, "1.2/2.2 GB 200.0 MB/s 00:05 57 of 201 tensors  merge tens…"),
        (40, "1.2/2.2 GB 200.0 MB/s 00:05 57 of 201…"),
    ],
)
def test_numbers_come_first_and_names_are_cut(width: int, line: str) -> None:
    assert drawn((0, MERGE), (0, stream(GB // 5)), (5, stream(6 * GB // 5)), width=width) == line


def test_a_long_name_does_not_push_numbers_out() -> None:
    name = "model-00001-of-00030.safetensors " * 4
    line = drawn((0, MERGE), (0, stream(1, label=name)), (1, stream(GB + 1, label=name)), width=60)
    assert line.startswith("1.0/2.2 GB 1.0 GB/s 00:02 merge tensor by tensor  mode")
    assert line.endswith("…")


def test_no_rate_is_shown_before_there_is_one() -> None:
    line = drawn((0, MERGE), (0, stream(50, 100, "")))
    assert line.split("  ")[0].startswith("50/100 bytes")
    assert "/s" not in line
    assert drawn((0, MERGE)) == "merge tensor by tensor"


def test_a_resumed_merge_does_not_count_what_was_there_already() -> None:
    """Finished shards are told at once; the rate is that of what is written now."""
    line = drawn((0, MERGE), (0, stream(900, 2000, "")), (10, stream(1000, 2000, "")))
    assert "10 bytes/s" in line


def test_the_rate_is_that_of_the_last_seconds() -> None:
    slow = [(float(second), stream(second + 1, 9000, "")) for second in range(60)]
    fast = [(60.0 + second, stream(60 + 100 * second, 9000, "")) for second in range(60)]
    assert "100 bytes/s" in drawn((0, MERGE), *slow, *fast)


def test_other_units_are_counted_without_a_rate() -> None:
    step = Step("collect", "read releases")
    progress = [(float(at), Progress("collect", at, 13, "releases")) for at in range(1, 5)]
    line = drawn((0, step), *progress)
    assert line.startswith("4 of 13 releases 00:09 read releases")


def test_finished_steps_and_notes_scroll_up_whole_and_break_at_words() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=40, color_system=None, highlight=False)
    display = LiveDisplay(console)
    display.on_event(MERGE)
    display.on_event(stream(10))
    display.on_event(Step("stream", "merge tensor by tensor", "done", "14 tensors changed, 0.00 GB, and more"))
    display.on_event(Note("a base that was padded", "warning"))
    display.on_event(stream(10))
    display.close()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "✓ merge tensor by tensor  14 tensors\n    changed, 0.00 GB, and more\n" in text
    assert "warning: a base that was padded\n" in text
