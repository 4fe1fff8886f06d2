"""`process.run_attached` on real processes, signals and terminals: the child cannot tell that envpin is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envpin.core import process
from envpin.core.errors import InputError
from tests.support.terminal import Terminal

WRAPPER = "import sys; from envpin.core import process; sys.exit(process.run_attached(sys.argv[1:]))"
# Counts each signal that it gets, and says so when its stdin says "end".
COUNTER = """
import os, signal, sys
def say(*words):
    # Not print: a signal that comes while print still flushes finds its buffer locked.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
counts = {}
def count(number, frame):
    name = signal.Signals(number).name
    counts[name] = counts.get(name, 0) + 1
    say("got", name)
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), count)
say("ready")
while True:
    line = sys.stdin.readline()
    if line.strip() == "end" or not line:
        break
say("counts", sorted(counts.items()))
sys.exit(7)
"""


def wrapped(*argv: str) -> list[str]:
    return [sys.executable, "-c", WRAPPER, *argv]


def counter(*names: str) -> list[str]:
    return wrapped(sys.executable, "-c", COUNTER, *names)


@pytest.mark.parametrize("status", [0, 3, 255])
def test_the_status_is_the_childs(status: int) -> None:
    assert subprocess.run(wrapped("sh", "-c", f"exit {status}"), check=False).returncode == status


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGSEGV", "SIGINT"])
def test_a_child_that_a_signal_ended_gives_128_plus_n(name: str) -> None:
    number = signal.Signals[name]
    script = f"kill -{name.removeprefix('SIG')} $$"
    assert subprocess.run(wrapped("sh", "-c", script), check=False).returncode == 128 + number


def test_stdin_stdout_and_stderr_are_the_childs() -> None:
    script = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data[::-1]); sys.stderr.write('said')"
    ended = subprocess.run(wrapped(sys.executable, "-c", script), input=b"\x00abc\n", capture_output=True, check=True)
    assert (ended.stdout, ended.stderr) == (b"\ncba\x00", b"said")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT"])
def test_a_signal_to_envpin_alone_is_passed_on_once(name: str) -> None:
    with subprocess.Popen(counter(name), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.Signals[name])
        assert running.stdout.readline() == f"got {name}\n"
        running.stdin.write("end\n")
        running.stdin.flush()
        assert running.stdout.readline() == f"counts [('{name}', 1)]\n"
        assert running.wait(timeout=20) == 7


def test_a_child_that_does_not_catch_sigterm_dies_of_it_and_envpin_says_so() -> None:
    script = "import sys, time; print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen(wrapped(sys.executable, "-c", script), stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.terminate()
        assert running.wait(timeout=20) == 128 + signal.SIGTERM


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    ignoring = ["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh"]
    script = "from signal import *; print(getsignal(SIGINT) == SIG_IGN, getsignal(SIGHUP) == SIG_IGN)"
    ended = subprocess.run(
        [*ignoring, *wrapped(sys.executable, "-c", script)], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "True True\n"


def test_the_child_finds_the_signal_state_that_a_shell_gives() -> None:
    """Python ignores SIGPIPE for itself and we block signals: neither may reach the child (`yes | head` would hang)."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    ended = subprocess.run(wrapped("cat", "/proc/self/status"), capture_output=True, text=True, check=True)
    bare = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True)

    def signals(text: str) -> dict[str, int]:
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if line.startswith(("SigBlk", "SigIgn")))
        # Without 32 and 33, which are glibc's own: its posix_spawn leaves them ignored.
        return {name: int(mask, 16) & 0x7FFFFFFF for name, mask in fields.items()}

    assert signals(ended.stdout) == signals(bare.stdout)


def test_ctrl_c_reaches_the_child_exactly_once() -> None:
    with Terminal(counter("SIGINT")) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        terminal.expect("got SIGINT")
        time.sleep(0.2)  # a second delivery would have come by now
        terminal.type("end\n")
        terminal.expect("counts [('SIGINT', 1)]")
        assert terminal.wait() == 7


def test_ctrl_c_ends_a_child_that_does_not_catch_it() -> None:
    script = "import time; print('ready', flush=True); time.sleep(60)"
    with Terminal(wrapped(sys.executable, "-c", script)) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert terminal.screen.count("KeyboardInterrupt") == 1  # the child's own traceback, none of envpin's


def test_sigint_sent_to_envpin_alone_on_a_terminal_is_passed_on() -> None:
    if sys.platform != "linux":
        pytest.skip("who sent a signal is known on Linux only")
    with Terminal(counter("SIGINT")) as terminal:
        terminal.expect("ready")
        os.kill(terminal.pid, signal.SIGINT)
        terminal.expect("got SIGINT")
        terminal.type("end\n")
        terminal.expect("counts [('SIGINT', 1)]")


def test_the_child_has_the_terminal() -> None:
    script = (
        "import os, sys; print([os.isatty(n) for n in (0, 1, 2)], os.tcgetpgrp(0) == os.getpgrp(), input('name? '))"
    )
    with Terminal(wrapped(sys.executable, "-c", script)) as terminal:
        terminal.expect("name? ")
        terminal.type("ada\n")
        terminal.expect("[True, True, True] True ada")
        assert terminal.wait() == 0


def test_ctrl_z_gives_the_shell_its_terminal_back_and_fg_resumes(tmp_path: Path) -> None:
    (tmp_path / "counter.py").write_text(COUNTER)
    (tmp_path / "wrapper.py").write_text(WRAPPER)
    command = f"{sys.executable} {tmp_path}/wrapper.py {sys.executable} {tmp_path}/counter.py SIGINT\n"
    environment = {**os.environ, "PS1": "prompt$ ", "HISTFILE": ""}
    with Terminal(["bash", "--norc", "--noprofile", "-i"], env=environment) as terminal:
        terminal.expect("prompt$ ")
        terminal.type(command)
        terminal.expect("ready")
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.expect("prompt$ ")
        terminal.type("echo shell-$((40+2))\n")
        terminal.expect("shell-42")
        terminal.type("fg\n")
        terminal.expect("wrapper.py")  # the shell repeats the command line
        terminal.type("end\n")
        terminal.expect("counts []")
        terminal.type("echo status=$?\n")
        terminal.expect("status=7")
        terminal.type("exit\n")


def test_a_missing_or_unexecutable_program_is_an_input_error(tmp_path: Path) -> None:
    plain = tmp_path / "plain.sh"
    plain.write_text("exit 5\n")
    for name in ("no-such-program-here", str(tmp_path / "absent"), str(plain)):
        with pytest.raises(InputError, match=r"not found|may not be executed"):
            process.run_attached([name])
    plain.chmod(0o755)
    assert process.run_attached([str(plain)]) == 5, "a script without a first line is a shell's, as for execvp"
    with pytest.raises(InputError, match="may not be executed"):
        process.run_attached([str(tmp_path)])


def test_the_program_is_looked_up_in_the_childs_path(tmp_path: Path) -> None:
    tool = tmp_path / "only-here"
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    assert process.run_attached(["only-here"], env={"PATH": f"/nowhere:{tmp_path}"}) == 9


@pytest.mark.skipif(sys.platform != "linux", reason="finds the child through /proc")
def test_a_child_that_is_resumed_and_ends_at_once_still_gives_its_status() -> None:
    """The shell resumes both; the child may be a zombie before envpin looks, and has then no state but its exit."""
    script = (
        "import os, signal; print('ready', flush=True); os.kill(os.getpid(), signal.SIGTSTP); "
        "print('resumed', flush=True); os._exit(9)"
    )
    # A group of its own below this one, as a shell makes it: in an orphaned group nothing stops at SIGTSTP.
    argv = wrapped(sys.executable, "-c", script)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, process_group=0) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        os.waitid(os.P_PID, running.pid, os.WSTOPPED)
        (child,) = (int(pid) for pid in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split())
        os.kill(child, signal.SIGCONT)
        assert running.stdout.readline() == "resumed\n"
        time.sleep(0.2)  # long enough for it to end
        running.send_signal(signal.SIGCONT)
        assert running.wait(timeout=20) == 9
