"""A hostile situation: a command of the shell, its exit status, and a line that it must say."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.command import variables
from tests.support.processes import laps, outlived

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# Long for a machine that does other things, short beside the minutes of what hung.
PATIENCE = 45.0  # seconds
# Touched by whatever of a stranger's would run.
MARK = "STRANGERS-CODE-RAN"


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """`command` is run by `bash` in a new folder that `make` filled; `$E` is envpin. `status` is what it must end with,
    `says` a regular expression for its output, `never` one that no output may hold. `after` looks at the folder."""

    name: str
    command: str
    status: int | tuple[int, ...]
    says: str = ""
    never: str = r"Traceback|Exception ignored|\x1b"
    make: Callable[[Path], None] | None = None
    after: Callable[[Path], None] | None = None
    patience: float = PATIENCE


def table(rows: Sequence[Situation], *, sample: int = 6) -> pytest.MarkDecorator:
    """Parametrize over all rows under `make test-all`, over every `sample`-th otherwise."""
    chosen = rows if os.environ.get("ENVPIN_TEST_ALL") else rows[::sample]
    assert len({row.name for row in rows}) == len(rows), "two situations of one name"
    return pytest.mark.parametrize("situation", chosen, ids=lambda one: one.name)


def endure(situation: Situation, folder: Path) -> str:
    """Run it, and hold everything against it that holds for each; what it said."""
    work, temporary = folder / "work", folder / "tmp"
    for one in (work, temporary):
        one.mkdir()
    if situation.make is not None:
        situation.make(work)
    environment = variables({"TMPDIR": str(temporary), "E": f"{sys.executable} -m envpin", "PY": sys.executable})
    said = _run(situation, work, environment)
    assert not re.search(situation.never, said), said[-3000:]
    assert re.search(situation.says, said), said[-3000:]
    assert not list(folder.rglob(MARK)), "code of a stranger ran"
    assert list(temporary.iterdir()) == [], "a temporary folder is left"
    if situation.after is not None:
        situation.after(work)
    return said


def _run(situation: Situation, work: Path, environment: dict[str, str]) -> str:
    output = work.parent / "output"
    with output.open("wb") as stream:
        running = subprocess.Popen(
            ["bash", "-c", situation.command], cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=stream,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            ended = any(running.poll() is not None for _ in laps(situation.patience, pause=0.01))
            assert ended, f"hangs: {output.read_text(errors='replace')[-3000:]}"
        finally:
            left = outlived(running.pid)
            if left:
                os.killpg(running.pid, signal.SIGKILL)
    said = output.read_text(encoding="utf-8", errors="replace")
    allowed = situation.status if isinstance(situation.status, tuple) else (situation.status,)
    status = running.returncode
    assert status in allowed, f"status {status}\n{said[-3000:]}"
    assert not left, "processes outlived the command by a second"
    return said
