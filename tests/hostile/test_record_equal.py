"""A run under `envpin record` beside the bare run: the same status, output and files, byte for byte."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command import variables

if TYPE_CHECKING:
    from pathlib import Path

_PY = "$R $PY -c "
# Without signals 32 and 33, which are glibc's own: its posix_spawn has them ignored until the program's libc is set up.
_MASKS = (
    'print([(name, int(mask, 16) & ~(3 << 31)) for name, mask in (line.split() for line in open("/proc/self/status") '
    'if line.startswith(("SigBlk", "SigIgn", "SigCgt")))])'
)
# envpin is a Python as well, and this line is for the run's.
_SITE = 'import sys; print(42) if "envpin" not in sys.orig_argv else None'
_LIMITS = "import resource; print([resource.getrlimit(one) for one in range(10)])"
_CHILD = 'import os, time\nif os.fork() == 0:\n    time.sleep(.2)\n    open("late", "w").write("x")\n    os._exit(0)\n'
_POOL = (
    'import multiprocessing as m\ndef f(x):\n    return x * x\nif __name__ == "__main__":\n'
    '    with m.get_context("{}").Pool(2) as pool:\n        print(pool.map(f, range(9)))\n'
)

# `$R` is nothing, or `envpin record --`; `$PY` a Python. What the shell itself does around it is the same for both.
SITUATIONS: dict[str, str] = {
    # streams
    "binary output": f"{_PY}'import sys; sys.stdout.buffer.write(bytes(range(256)) * 1000)'",
    "a megabyte on both": f"{_PY}'import sys; sys.stdout.write(\"a\" * 1000000); sys.stderr.write(\"b\" * 1000000)'",
    "input of a megabyte": f"head -c 1000000 /dev/zero | {_PY}'import sys; print(len(sys.stdin.buffer.read()))'",
    "no input": f"{_PY}'import sys; print(sys.stdin is None)' <&-",
    "no output": f"{_PY}'import sys; sys.exit(5 if sys.stdout is None else 6)' >&-",
    "no error output": f"{_PY}'import sys; sys.exit(5 if sys.stderr is None else 6)' 2>&-",
    "full output": f"{_PY}'print(1)' >/dev/full",
    "a reader that leaves": f"{_PY}'for n in range(100000): print(n)' | head -3",
    "descriptor 5": f"exec 5>five; {_PY}'import os; os.write(5, b\"x\")'",
    "open descriptors": f"{_PY}'import os; print(sorted(os.listdir(\"/proc/self/fd\")))'",
    "kinds of streams": f"{_PY}'import os, stat; print([stat.S_IFMT(os.fstat(n).st_mode) for n in range(3)])'",
    "unbuffered": f"{_PY}'import sys; sys.stdout.write(\"no newline\")'",
    # signals
    "TERM": "$R sh -c 'kill -TERM $$'",
    "INT": "$R sh -c 'kill -INT $$'",
    "HUP": "$R sh -c 'kill -HUP $$'",
    "KILL": "$R sh -c 'kill -KILL $$'",
    "SEGV": "ulimit -c 0; $R sh -c 'kill -SEGV $$'",
    "ABRT": "ulimit -c 0; $R sh -c 'kill -ABRT $$'",
    "USR1 with a handler": "$R bash -c 'trap \"echo got; exit 3\" USR1; kill -USR1 $$; sleep 5'",
    "dispositions": f"{_PY}'{_MASKS}'",
    "INT ignored": f"trap '' INT; {_PY}'{_MASKS}'",
    "HUP and PIPE ignored": f"trap '' HUP PIPE; {_PY}'{_MASKS}'",
    "an alarm": f"{_PY}'import signal; signal.alarm(1); signal.pause()'",
    "KeyboardInterrupt": f"{_PY}'raise KeyboardInterrupt' 2>/dev/null",
    # exec, fork, spawn
    "exec": f"{_PY}'import os; os.execlp(\"sh\", \"sh\", \"-c\", \"echo x; exit 4\")'",
    "exec of Python": f"{_PY}'import os, sys; os.execv(sys.executable, [sys.executable, \"-c\", \"print(7)\"])'",
    "a script without a first line": "echo 'echo hello; exit 6' >s; chmod +x s; $R ./s",
    "a program with a space": "printf '#!/bin/sh\\nexit 9\\n' >'a b'; chmod +x 'a b'; $R './a b'",
    "a child that is late": f"{_PY}'{_CHILD}'; sleep .5",
    "a pipe of the shell": "$R bash -c 'echo a | tr a b; exit 2'",
    "os.system": f"{_PY}'import os, sys; sys.exit(os.system(\"exit 3\") >> 8)'",
    "posix_spawn": f"{_PY}'import os; print(os.waitpid(os.posix_spawn(\"/bin/true\", [\"true\"], os.environ), 0)[1])'",
    "multiprocessing by fork": f"echo '{_POOL.format('fork')}' >m.py; $R $PY m.py",
    "multiprocessing by spawn": f"echo '{_POOL.format('spawn')}' >m.py; $R $PY m.py",
    "multiprocessing by forkserver": f"echo '{_POOL.format('forkserver')}' >m.py; $R $PY m.py",
    "threads": f"{_PY}'import os, threading as t; "
    "[t.Thread(target=os.write, args=(1, b\"1\")).start() for _ in range(9)]'",
    "a daemon thread": f"{_PY}'from threading import Timer as T; t = T(9, print); t.daemon = True; t.start()'",
    "atexit": f"{_PY}'import atexit; atexit.register(print, \"bye\"); raise SystemExit(8)'",
    "a traceback": f"{_PY}'1 / 0'",
    "os._exit": f"{_PY}'import os; os._exit(77)'",
    # limits and surroundings
    "limits": f"ulimit -n 200; ulimit -c 0; {_PY}'{_LIMITS}'",
    "few descriptors": f"ulimit -n 16; {_PY}'print(1)'",
    "no file may grow": f"ulimit -f 0; {_PY}'open(\"x\", \"w\").write(\"y\" * 5000)' 2>/dev/null",
    "umask": "umask 027; $R sh -c 'umask; touch made; ls -l made | cut -c1-10'",
    "niceness": f"{_PY}'import os; print(os.nice(0), os.getpriority(os.PRIO_PROCESS, 0))'",
    "session and group": f"{_PY}'import os; print(os.getpgrp() == os.getsid(0), os.getpgrp() == os.getpid())'",
    "arguments": f"{_PY}'import sys; print(sys.argv, sys.flags)' 'a b' '' -- '*' \"it's\" $'\\n'",
    "the path of modules": f"{_PY}'import sys; print(sys.path)'",
    "an own PYTHONPATH": f"mkdir p; echo 'x = 5' >p/own.py; export PYTHONPATH=p; {_PY}'import own; print(own.x)'",
    "an own sitecustomize": f"mkdir p; echo '{_SITE}' >p/sitecustomize.py; export PYTHONPATH=p; {_PY}'print(1)'",
    "Python isolated": "$R $PY -I -c 'import sys; print(sys.flags)'",
    "Python without site": "$R $PY -S -c 'import sys; print(sys.flags)'",
    "warnings as errors": f"PYTHONWARNINGS=error {_PY}'print(1)'",
    "no variables": "env -i PATH=/usr/bin:/bin $R $PY -c 'print(3)'",
    "another language": f"LC_ALL=C PYTHONUTF8=0 {_PY}'print(ascii(chr(233)))'",
    "a folder that is gone": "mkdir gone; cd gone; rmdir ../gone; $R sh -c 'exit 5'",
    "TMPDIR is gone": f"export TMPDIR=$PWD/absent; {_PY}'import os; print(os.environ[\"TMPDIR\"][-6:])'",
}  # fmt: skip
# What envpin says after the run, behind whatever the run has said; and what a shell says of a child that was killed,
# where it is told the same by a status of 128 + N.
_OWN = re.compile(rb"warning: (?:nothing|while recording|recording).*\n|bash: line \d+: .*\n|Terminated\n")


@pytest.mark.parametrize("name", list(SITUATIONS) if os.environ.get("ENVPIN_TEST_ALL") else list(SITUATIONS)[::7])
def test_a_recorded_run_is_the_bare_run(name: str, tmp_path: Path) -> None:
    bare, recorded = (observed(SITUATIONS[name], tmp_path / "same", recorded=recorded) for recorded in (False, True))
    assert recorded == bare


def test_there_are_enough_of_them() -> None:
    assert len(SITUATIONS) >= 40


def observed(command: str, folder: Path, *, recorded: bool) -> tuple[int, bytes, bytes, dict[str, tuple[int, bytes]]]:
    """Status, stdout, stderr without what envpin adds, and every file with its mode, of a run in a new folder."""
    folder.mkdir()
    record = f"{sys.executable} -m envpin record --" if recorded else ""
    out, errors = folder.with_name("out"), folder.with_name("err")
    environment = {**variables({"R": record, "PY": sys.executable}), "PYTHONDONTWRITEBYTECODE": "1"}
    with out.open("wb") as stdout, errors.open("wb") as stderr:
        status = subprocess.run(
            ["bash", "-c", f"{command}\nexit $?"], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=stderr, timeout=120, check=False,
        ).returncode  # fmt: skip
    files = {str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes())
             for path in folder.rglob("*") if path.is_file()}  # fmt: skip
    said = _OWN.sub(b"", errors.read_bytes())
    folder.rename(folder.with_name(f"done-{recorded}"))
    return status, out.read_bytes(), said, files
