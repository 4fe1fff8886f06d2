"""The console says how long a step took where somebody waited for it, and keeps the seconds for `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.cli.console.console import Console
from envpin.core.errors import InputError
from envpin.core.events import Step

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [100.0]
    monkeypatch.setattr("envpin.cli.console.console.time.monotonic", lambda: now[0])
    return lambda value: now.__setitem__(0, 100.0 + value)


@pytest.mark.parametrize(
    ("seconds", "detail", "line"),
    [
        (0.2, "4 files", "✓ digest: 4 files\n"),
        (0.99, "", "✓ digest\n"),
        (1.0, "4 files", "✓ digest: 4 files, 1.0 s\n"),
        (61.25, "", "✓ digest: 61.2 s\n"),
        (3.2, "28 packages in 3.2 s", "✓ digest: 28 packages in 3.2 s\n"),
    ],
)
def test_step_line_ends_with_its_seconds_where_it_was_waited_for(
    set_clock: Callable[[float], None], capsys: pytest.CaptureFixture[str], seconds: float, detail: str, line: str
) -> None:
    console = Console()
    listener = console.listener()
    listener(Step(key="digest", title="digest"))
    set_clock(seconds)
    listener(Step(key="digest", title="digest", state="done", detail=detail))
    assert capsys.readouterr().err == "… digest\n" + line
    assert console.seconds == {"digest": pytest.approx(seconds)}


def test_seconds_of_steps_with_one_key_add_up(set_clock: Callable[[float], None]) -> None:
    console = Console()
    listener = console.listener()
    for end in (1.0, 3.5):
        listener(Step(key="merge", title="merge"))
        set_clock(end)
        listener(Step(key="merge", title="merge", state="failed"))
    assert console.seconds == {"merge": pytest.approx(3.5)}


def test_an_error_breaks_at_words_on_a_terminal_and_its_command_stays_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    console = Console()
    error = InputError(f"{'words ' * 12}end", hint=f"envpin check {'a' * 60} --offline")
    console.error(error)
    assert max(map(len, capsys.readouterr().err.splitlines())) > 80
    console.interactive = True
    console.error(error)
    message, _, hint = capsys.readouterr().err.partition("\n\n")
    assert message.splitlines() == [f"error: {'words ' * 8}words", "    words words words end"]
    assert hint == f"hint: envpin check {'a' * 60} --offline\n"
