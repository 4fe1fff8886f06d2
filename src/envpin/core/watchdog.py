"""No child outlives a controller that was killed: a shell waits for its end, and kills what it had started.

Workers see to that themselves (workers/runtime/parent.py) once they run. uv and other programs cannot, and one that
goes on writes into the store while the next envpin does. The shell learns of the end because a pipe from us closes,
however we ended. It knows the children, and what they started in turn, by a variable that they all inherit: it is told
of before there is a child, so that no moment is left in which one lives that it has not heard of.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Protocol

from envpin.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import IO

# What the marks of this process's ancestors are in, one after another: whoever of them ends takes all below along.
VARIABLE = "ENVPIN_ENDS_WITH"
# `+ WORD` and `- WORD` on its stdin keep the list of marks and process numbers; what the terminal sends to all of us
# does not end it. A tree is stopped from its root, so that nobody in it starts another, and then killed. What is being
# started just then is in no tree and has no variables yet: hence more than one look. Its argument says who
# tells of processes: `proc`, or `ps`, which shows variables by -E on macOS and by e elsewhere. The last letter of a
# mark is in brackets, or grep would find itself.
_PROGRAM = """
trap '' INT TERM HUP QUIT
children() {
    if [ "$how" = proc ]; then cat /proc/"$1"/task/*/children; else pgrep -P "$1"; fi 2>/dev/null
}
marked() {
    if [ "$how" = proc ]; then
        for file in $(grep -lsF "$1" /proc/[0-9]*/environ); do
            pid=${file#/proc/}
            echo "${pid%/environ}"
        done
    else
        { ps -axEww -o pid= -o command= || ps axeww -o pid= -o command=; } 2>/dev/null |
            grep "${1%?}[${1#"${1%?}"}]" | while read -r pid rest; do echo "$pid"; done
    fi
}
kill_tree() {
    kill -STOP "$1" 2>/dev/null
    for one in $(children "$1"); do kill_tree "$one"; done
    kill -9 "$1" 2>/dev/null
}
kill_marked() {
    for word in $words; do
        case $word in *[!0-9]*) for one in $(marked "$word"); do kill -9 "$one" 2>/dev/null; done ;; esac
    done
}
how=$1
words=
while read -r sign word; do
    left=
    for one in $words; do [ "$one" = "$word" ] || left="$left $one"; done
    words=$left
    [ "$sign" = + ] && words="$words $word"
done
[ -z "$words" ] && exit
for word in $words; do case $word in *[!0-9]*) ;; *) kill_tree "$word" ;; esac; done
for time in 0.05 0.15; do
    kill_marked
    sleep "$time"
done
kill_marked
"""
_lock = threading.Lock()
_running: list[_Shell] = []


class _Shell(Protocol):
    """A process whose stdin is a pipe from us."""

    @property
    def stdin(self) -> IO[bytes] | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


@contextlib.contextmanager
def watching(
    start: Callable[[list[str]], _Shell], env: Mapping[str, str] | None, *, has_proc: bool | None = None
) -> Iterator[tuple[Mapping[str, str] | None, Callable[[int], None]]]:
    """A child with these variables, and what it starts, is killed where this process ends before the context does.

    The second is to be told the child's number. `start` starts a shell. `has_proc` is whether the system tells of
    processes in /proc (None: look), else `ps` is asked. On Windows nothing of this happens.
    """
    if sys.platform == "win32":
        yield env, lambda _pid: None
        return
    mark = f"{os.getpid()}-{os.urandom(8).hex()}"
    words = [mark]
    how = "proc" if (os.path.exists("/proc/self/environ") if has_proc is None else has_proc) else "ps"  # noqa: PTH110

    def tell(pid: int) -> None:
        words.append(str(pid))
        _tell(start, how, f"+ {pid}")

    source = os.environ if env is None else env
    _tell(start, how, f"+ {mark}")
    try:
        yield {**source, VARIABLE: ":".join(filter(None, (os.environ.get(VARIABLE), mark)))}, tell
    finally:
        for word in words:
            _tell(start, how, f"- {word}")


def _tell(start: Callable[[list[str]], _Shell], how: str, line: str) -> None:
    with _lock, contextlib.suppress(OSError, ValueError, InputError):  # no shell: no watchdog, and no harm
        if not _running or _running[0].poll() is not None:
            if not _running:
                atexit.register(_let_go)
            _running[:] = [start(["/bin/sh", "-c", _PROGRAM, "sh", how])]
        pipe = _running[0].stdin
        if pipe is not None:
            os.write(pipe.fileno(), f"{line}\n".encode())


def _let_go() -> None:
    """A shell that has no process to watch ends at once; one that has takes a moment, and need not be waited for."""
    with _lock, contextlib.suppress(Exception):
        shell = _running.pop()
        if shell.stdin is not None:
            shell.stdin.close()
        shell.wait(timeout=1.0)
