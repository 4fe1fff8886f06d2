"""TERM, HUP and KILL at any moment: the command ends in order, or the next start clears what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.command import arguments, variables
from tests.support.processes import outlived

if TYPE_CHECKING:
    from pathlib import Path

# A command that holds a scratch folder and a child, for as long as it is let.
PROGRAM = """
import sys
from envpin.cli.main import main
from envpin.cli.commands import verify
from envpin.core import process
from envpin.core.scratch import scratch
from envpin.core.watchdog import watch, watching
def run(args, console):
    with scratch("test") as folder:
        print("ready", flush=True)
        with watching() as pids:
            process.run([sys.executable, "-c", "import time; time.sleep(60)"], cwd=folder,
                        on_start=lambda child: watch(pids, child))
    return 0
verify.run = run
sys.exit(main(["verify", "x"]))
"""


def started(temporary: Path) -> subprocess.Popen[bytes]:
    program = [arguments()[0], "-c", PROGRAM]
    running = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                               env=variables({"TMPDIR": str(temporary)}))  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    return running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_in_order(number: signal.Signals, tmp_path: Path) -> None:
    with started(tmp_path) as running:
        time.sleep(0.1)
        os.kill(running.pid, number)
        os.kill(running.pid, number) if number != signal.SIGINT else None
        _, errors = running.communicate(timeout=20)
    assert running.returncode == (130 if number == signal.SIGINT else 128 + number), errors
    assert b"Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
    assert not outlived(running.pid)


def test_the_next_start_clears_what_a_kill_left_and_nothing_of_the_living(tmp_path: Path) -> None:
    with started(tmp_path) as killed:
        time.sleep(0.3)  # until its child runs
        killed.kill()
        killed.wait()
    assert not outlived(killed.pid), "a child outlived the killed command by a second"
    assert len(list(tmp_path.iterdir())) == 1
    with started(tmp_path) as living:
        assert len(list(tmp_path.iterdir())) == 1, "the one of the living"
        with started(tmp_path) as another:
            assert len(list(tmp_path.iterdir())) == 2
            another.terminate()
            another.communicate(timeout=20)
        living.terminate()
        living.communicate(timeout=20)
    assert list(tmp_path.iterdir()) == []
