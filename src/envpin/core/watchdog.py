"""No child outlives a controller that was killed: a shell waits for its end, and kills what it had started.

Workers see to that themselves (workers/runtime/parent.py) once they run. uv and other programs cannot, and one that
goes on writes into the store while the next envpin does. The shell learns of the end because a pipe from us closes,
however we ended. It knows the children, and what they started in turn, by a variable that they all inherit: it is told
of before there is a child, so that no moment is left in which one lives that it has not heard of.
"""

from __future__ import annotations

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
# started just then is in nobody's tree and has no variables yet: hence more than one look.
_PROGRAM = """
trap '' INT TERM HUP QUIT
kill_tree() {
    kill -STOP "$1" 2>/dev/null
    for one in $(cat /proc/"$1"/task/*/children 2>/dev/null || pgrep -P "$1" 2>/dev/null); do kill_tree "$one"; done
    kill -9 "$1" 2>/dev/null
}
kill_marked() {
    for word in $words; do
        case $word in *[!0-9]*)
            for file in $(grep -lsF "$word" /proc/[0-9]*/environ); do
                pid=${file#/proc/}
                kill -9 "${pid%/environ}" 2>/dev/null
            done
        esac
    done
}
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


@contextlib.contextmanager
def watching(
    start: Callable[[list[str]], _Shell], env: Mapping[str, str] | None
) -> Iterator[tuple[Mapping[str, str] | None, Callable[[int], None]]]:
    """A child with these variables, and what it starts, is killed where this process ends before the context does.

    The second is to be told the child's number. `start` starts a shell. On Windows nothing of this happens.
    """
    if sys.platform == "win32":
        yield env, lambda _pid: None
        return
    mark = f"{os.getpid()}-{os.urandom(8).hex()}"
    words = [mark]

    def tell(pid: int) -> None:
        words.append(str(pid))
        _tell(start, f"+ {pid}")

    source = os.environ if env is None else env
    _tell(start, f"+ {mark}")
    try:
        yield {**source, VARIABLE: ":".join(filter(None, (os.environ.get(VARIABLE), mark)))}, tell
    finally:
        for word in words:
            _tell(start, f"- {word}")


def _tell(start: Callable[[list[str]], _Shell], line: str) -> None:
    with _lock, contextlib.suppress(OSError, ValueError, InputError):  # no shell: no watchdog, and no harm
        if not _running or _running[0].poll() is not None:
            _running[:] = [start(["/bin/sh", "-c", _PROGRAM])]
        pipe = _running[0].stdin
        if pipe is not None:
            os.write(pipe.fileno(), f"{line}\n".encode())
