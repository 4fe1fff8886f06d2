"""No child outlives a controller that was killed: a shell waits for its end, and kills what it had started.

Workers see to that themselves (workers/runtime/parent.py). uv and other programs cannot, and one that goes on writes
into the store while the next envpin does. The shell learns of the end because a pipe from us closes, however we ended.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING

from envpin.core import process
from envpin.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

# `+ PID` and `- PID` on its stdin keep the list; what the terminal sends to all of us does not end it.
# uv asks interpreters what they are, and those would go on without it: a tree is stopped from its root, so that nobody
# in it starts another, and then killed.
_PROGRAM = """
trap '' INT TERM HUP QUIT
kill_tree() {
    kill -STOP "$1" 2>/dev/null
    for one in $(cat /proc/"$1"/task/*/children 2>/dev/null || pgrep -P "$1" 2>/dev/null); do kill_tree "$one"; done
    kill -9 "$1" 2>/dev/null
}
pids=
while read -r sign pid; do
    left=
    for one in $pids; do [ "$one" = "$pid" ] || left="$left $one"; done
    pids=$left
    [ "$sign" = + ] && pids="$pids $pid"
done
for pid in $pids; do kill_tree "$pid"; done
"""
_lock = threading.Lock()
_running: list[process.Child] = []


@contextlib.contextmanager
def watching() -> Iterator[list[int]]:
    """Children whose numbers are told to `watch` with the list of this context are killed with us, until it ends."""
    pids: list[int] = []
    try:
        yield pids
    finally:
        for pid in pids:
            _tell("-", pid)


def watch(pids: list[int], child: process.Child) -> None:
    """Have `child` killed where this process ends before the context of `pids` does."""
    if sys.platform != "win32":
        pids.append(child.pid)
        _tell("+", child.pid)


def _tell(sign: str, pid: int) -> None:
    with (
        _lock,
        contextlib.suppress(OSError, ValueError, InputError),
    ):  # without a shell there is no watchdog, and no harm
        if not _running or _running[0].poll() is not None:
            _running[:] = [process.start(["/bin/sh", "-c", _PROGRAM], stdin=process.PIPE, stdout=process.DEVNULL,
                                         stderr=process.DEVNULL)]  # fmt: skip
        pipe = _running[0].stdin
        if pipe is not None:
            os.write(pipe.fileno(), f"{sign} {pid}\n".encode())
