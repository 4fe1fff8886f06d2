"""The one door for processes: the only importer of `subprocess` in the controller.

Argument lists only, never a shell. A child gets an environment that was chosen, not inherited by accident; both of its
pipes are read at once; and it never outlives the call that started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from envpin.errors import ChildKilledError, InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

# What would change which modules a pinned interpreter imports, or how it behaves, without anybody having pinned it.
_INTERPRETER_VARIABLES = frozenset(
    {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONOPTIMIZE", "PYTHONPLATLIBDIR",
     "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV"}
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """How a child ended. `status` is its exit status; a child that signal N killed has status -N."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def scrubbed_environment(
    base: Mapping[str, str] | None = None,
    *,
    set_values: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
) -> dict[str, str]:
    """The caller's environment without what would leak another Python into a pinned one, plus `set_values`."""
    source = os.environ if base is None else base
    unwanted = _INTERPRETER_VARIABLES.union(drop)
    kept = {name: value for name, value in source.items() if name not in unwanted}
    kept["PYTHONNOUSERSITE"] = "1"
    kept.update(set_values or {})
    return kept


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
    on_stderr: Callable[[str], None] | None = None,
    on_stdout: Callable[[str], None] | None = None,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run a child to its end and return what it said.

    `on_stderr` and `on_stdout` get each line as it comes, from a reader thread. `timeout` is in seconds; a user's own
    command has none.

    Raises:
        InputError: the program does not exist or may not be executed.
        InfrastructureError: it ran past `timeout` and was killed.
    """
    arguments = tuple(str(argument) for argument in argv)
    source = subprocess.PIPE if stdin is not None else subprocess.DEVNULL
    child = start(arguments, env=env, cwd=cwd, stdin=source, pass_fds=pass_fds)
    captured: dict[str, list[str]] = {"stdout": [], "stderr": []}
    readers = [
        threading.Thread(target=_drain, args=(child.stdout, captured["stdout"], on_stdout), daemon=True),
        threading.Thread(target=_drain, args=(child.stderr, captured["stderr"], on_stderr), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        if stdin is not None and child.stdin is not None:
            child.stdin.write(stdin)
            child.stdin.close()
        status = child.wait(timeout=timeout)
    except subprocess.TimeoutExpired as expired:
        end(child)
        raise InfrastructureError(f"`{arguments[0]}` did not finish within {timeout:.0f} s") from expired
    except BaseException:
        end(child)
        raise
    for reader in readers:
        reader.join()
    return Completed(
        argv=arguments, status=status, stdout="".join(captured["stdout"]), stderr="".join(captured["stderr"])
    )


def start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | None = None,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child; the caller owns it and ends it with `end`.

    Raises:
        InputError: the program does not exist or may not be executed.
    """
    try:
        return subprocess.Popen(
            list(argv),
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
        )
    except FileNotFoundError as missing:
        raise InputError(
            f"`{argv[0]}` was not found", path=argv[0], hint="give the full path of the program"
        ) from missing
    except PermissionError as denied:
        raise InputError(f"`{argv[0]}` may not be executed", path=argv[0]) from denied


def end(child: subprocess.Popen[bytes], *, patience: float = 5.0) -> None:
    """Ask the child to stop, and kill it where it has not within `patience` seconds."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def raise_if_killed(completed: Completed, *, what: str) -> None:
    """Turn death by a signal into an error that names it.

    Raises:
        ChildKilledError: the child did not end by itself.
    """
    if completed.status >= 0:
        return
    number = -completed.status
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    hint = "the machine may be out of memory" if name == "SIGKILL" else None
    raise ChildKilledError(f"{what} was killed by {name}", hint=hint)


def _drain(pipe: IO[bytes] | None, into: list[str], on_line: Callable[[str], None] | None) -> None:
    if pipe is None:
        return
    with pipe:
        for raw in pipe:
            line = raw.decode("utf-8", errors="replace")
            into.append(line)
            if on_line is not None:
                on_line(line.rstrip("\r\n"))
