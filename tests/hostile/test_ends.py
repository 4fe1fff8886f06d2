"""TERM, HUP and KILL at any moment: the command ends in order, or the next start clears what is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import arguments, variables
from tests.support.processes import laps, outlived

# A command that holds a scratch folder and a child, for as long as it is let.
PROGRAM = """
import sys
from envpin.cli.main import main
from envpin.cli.commands import verify
from envpin.core import process
from envpin.core.scratch import scratch
def run(args, console):
    with scratch("test") as folder:
        print("ready", flush=True)
        process.run([sys.executable, "-c", "import time; time.sleep(60)"], cwd=folder)
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
        _, errors = running.communicate(timeout=300)
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
            another.communicate(timeout=300)
        living.terminate()
        living.communicate(timeout=300)
    assert list(tmp_path.iterdir()) == []


# What a killed `process.run` has started is in sessions of its own, and its parents are gone.
SCATTERED = """
import sys
from envpin.core import process
process.run(["setsid", "sh", "-c", "sleep 61.5 & (setsid sleep 62.5 &) ; echo ready >&2; sleep 63.5"], on_stderr=print)
"""
# The same where no /proc tells of processes, as on macOS.
SCATTERED_BY_PS = """
import subprocess
from envpin.core import watchdog
def start(argv):
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
with watchdog.watching(start, None, has_proc=False) as (variables, tell):
    script = "sleep 61.5 & (setsid sleep 62.5 &) ; echo ready; sleep 63.5"
    child = subprocess.Popen(["setsid", "sh", "-c", script], env=dict(variables))
    tell(child.pid)
    child.wait()
"""


def test_a_controller_that_ends_by_itself_leaves_no_process_and_no_open_pipe() -> None:
    program = "from envpin.core import process; process.run(['true']); process.run(['true'])"
    with subprocess.Popen([sys.executable, "-X", "dev", "-c", program], env=variables(), stderr=subprocess.PIPE,
                          start_new_session=True) as running:  # fmt: skip
        _, errors = running.communicate(timeout=300)
    assert (running.returncode, errors) == (0, b"")
    assert not outlived(running.pid, within=0)


@pytest.mark.skipif(shutil.which("setsid") is None, reason="macOS has no setsid")
@pytest.mark.parametrize("moment", [0.2, 0.4])
def test_without_proc_a_child_in_a_session_of_its_own_ends_too(moment: float, tmp_path: Path) -> None:
    own = str(tmp_path)
    with subprocess.Popen([sys.executable, "-c", SCATTERED_BY_PS], env=variables({"WHOSE": own}),
                          stdout=subprocess.PIPE, start_new_session=True) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        time.sleep(moment)
        running.kill()
    assert any(not _with_variable(own) for _ in laps(2)), _with_variable(own)


@pytest.mark.skipif(sys.platform != "linux", reason="_with_variable reads /proc")
@pytest.mark.parametrize("moment", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_whoever_a_child_started_ends_with_a_killed_controller(moment: float, tmp_path: Path) -> None:
    own = str(tmp_path)
    with subprocess.Popen([sys.executable, "-c", SCATTERED], env=variables({"WHOSE": own}), stdout=subprocess.PIPE,
                          start_new_session=True) as running:  # fmt: skip
        time.sleep(moment)
        running.kill()
    assert any(not _with_variable(own) for _ in laps(1)), _with_variable(own)


def _with_variable(value: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if value.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
