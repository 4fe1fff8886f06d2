"""Ctrl-C at any moment on a real terminal: the command says that it was interrupted, and nothing is left of it."""

from __future__ import annotations

import os
import random
import re
import shlex
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.killing import CreateVictim, RecordVictim, SweepVictim, VerifyVictim, Victim
from tests.support.processes import outlived
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

MOMENTS: dict[type[Victim], int] = {CreateVictim: 12, VerifyVictim: 6, RecordVictim: 8, SweepVictim: 4}
SAMPLE: dict[type[Victim], int] = {CreateVictim: 3, VerifyVictim: 1, RecordVictim: 2, SweepVictim: 2}


@pytest.mark.parametrize("kind", MOMENTS, ids=lambda kind: kind.name)
def test_ctrl_c_at_any_moment_ends_in_order(kind: type[Victim], tmp_path: Path) -> None:
    victim = kind(tmp_path / "victim")
    source = random.Random(kind.name)
    began = time.monotonic()
    _, screen = run(victim, None)
    latest = 0.8 * (time.monotonic() - began)
    assert victim.finished() == [], screen
    statuses: list[int] = []
    wanted = (MOMENTS if os.environ.get("ENVPIN_TEST_ALL") else SAMPLE)[kind]
    while len(statuses) < wanted or (set(statuses) == {0} and len(statuses) < wanted + 4):
        if len(statuses) >= wanted:  # each had ended before: others may have slowed the first run down
            latest = max(latest / 2, 0.05)
        status, screen = run(victim, source.uniform(0.02, latest))
        statuses.append(status)
        # Python itself may be interrupted before the first line of envpin's __main__ (it ends with 1 then), and so may
        # the run.
        frames = re.findall(r'File "[^"]*/envpin/(?!recording/hook/|__init__|version)[^"]*"', screen)
        assert frames == [], screen
        early = screen.strip() == "^C" or re.search(r"import runpy|init_import_site|<frozen (?:runpy|site)>", screen)
        assert status in {0, 130} or (status == 1 and (early or kind is RecordVictim)), (status, screen)
        assert victim.unfinished() == []
        assert victim.halves() == []
        if status == 0:
            assert victim.finished() == []
    assert set(statuses) != {0}, "no Ctrl-C came early enough to prove anything"


def run(victim: Victim, moment: float | None) -> tuple[int, str]:
    """The command on a terminal, with Ctrl-C pressed after so many seconds: its status, and what the screen showed."""
    program = ["sh", "-c", f"cd {shlex.quote(str(victim.folder))} && exec {shlex.join(victim.command)}"]
    with Terminal(program, env={**victim.variables, "TMPDIR": str(victim.temporary)}) as terminal:
        if moment is not None:
            time.sleep(moment)
            terminal.type("\x03")
        status = terminal.wait(within=120)
        assert not outlived(terminal.pid)
        return status, terminal.screen
