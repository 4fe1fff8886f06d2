"""The one door for processes: the only importer of `subprocess` in the controller.

Argument lists only, never a shell. A child gets an environment that was chosen, not inherited by accident; both of its
pipes are read at once; and it never outlives the call that started it, not even where that call's process is killed.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from envpin.core import watchdog
from envpin.core.errors import ChildKilledError, InputError, TimedOutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# What would change which modules a pinned interpreter imports, or how it behaves, without anybody having pinned it.
_INTERPRETER_VARIABLES = frozenset(
    {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONOPTIMIZE", "PYTHONPLATLIBDIR",
     "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV"}
)  # fmt: skip


Child: TypeAlias = "subprocess.Popen[bytes]"
PIPE = subprocess.PIPE
DEVNULL = subprocess.DEVNULL


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
    on_start: Callable[[Child], None] | None = None,
    watched: bool = True,
) -> Completed:
    """Run a child to its end and return what it said. `on_start` gets the child, so that another thread can end it.

    `on_stderr` and `on_stdout` get each line as it comes, from a reader thread. `timeout` is in seconds; a user's own
    command has none. What is `watched` is killed where this process is, with all that it has started.

    Raises:
        InputError: the program does not exist or may not be executed.
        TimedOutError: it ran past `timeout` and was killed.
    """
    with watchdog.watching(_shell, env) if watched else nullcontext((env, None)) as (variables, tell):
        return _run(
            tuple(str(argument) for argument in argv), env=variables, cwd=cwd, stdin=stdin, timeout=timeout,
            on_stderr=on_stderr, on_stdout=on_stdout, pass_fds=pass_fds, on_start=on_start, tell=tell,
        )  # fmt: skip


def _run(
    arguments: tuple[str, ...],
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    stdin: bytes | None,
    timeout: float | None,
    on_stderr: Callable[[str], None] | None,
    on_stdout: Callable[[str], None] | None,
    pass_fds: Sequence[int],
    on_start: Callable[[Child], None] | None,
    tell: Callable[[int], None] | None,
) -> Completed:
    source = subprocess.PIPE if stdin is not None else subprocess.DEVNULL
    child = start(arguments, env=env, cwd=cwd, stdin=source, pass_fds=pass_fds)
    if tell is not None:
        tell(child.pid)
    if on_start is not None:
        on_start(child)
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
        raise TimedOutError(f"`{arguments[0]}` did not finish within {timeout:.0f} s") from expired
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


def _shell(argv: list[str]) -> Child:
    # In the root: the working folder of a process cannot be unmounted.
    return start(argv, cwd=Path(Path(sys.executable).anchor), stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL)


def run_attached(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Run a user's command as if envpin were not there, and return its status.

    The child has the same stdin, stdout, stderr, working directory, process group and terminal, and no time limit.
    Signals: what the terminal sends (Ctrl-C, Ctrl-\\, Ctrl-Z, hang-up) reaches the whole foreground group, the child
    included, and is not sent a second time; what another process sends to envpin alone is passed on. When job control
    stops the child, envpin stops as well, so that the shell takes its terminal back; resuming it resumes the child.

    Call it from the main thread. A child that signal N ended gives 128 + N, as a shell reports it: dying by the same
    signal instead would lose what the caller still has to say after the run, and leave a core of envpin for a SIGSEGV
    of the child.

    Raises:
        InputError: the program does not exist or may not be executed.
    """
    variables = dict(os.environ if env is None else env)
    if sys.platform == "win32":
        return _run_attached_on_windows(argv, variables)
    return _run_attached_on_posix(argv, variables)


def _run_attached_on_windows(argv: Sequence[str], env: Mapping[str, str]) -> int:
    child = start(list(argv), env=env, stdin=None, stdout=None, stderr=None)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # the console sent it to the child as well, which decides what it means


def find_program(name: str, env: Mapping[str, str]) -> str:
    """The file that `name` means under the PATH of `env`, by the rule of execvp.

    Raises:
        InputError: there is none, or none that may be executed.
    """
    if os.sep in name:
        return name
    refused = False
    for folder in env.get("PATH", os.defpath).split(os.pathsep):
        candidate = os.path.join(folder or os.curdir, name)  # noqa: PTH118  an empty entry means the working directory
        if os.path.isfile(candidate):  # noqa: PTH113
            if os.access(candidate, os.X_OK):
                return candidate
            refused = True
    if refused:
        raise InputError(f"`{name}` may not be executed", path=name)
    raise InputError(f"`{name}` was not found on PATH", path=name, hint="give the full path of the program")


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
    raise ChildKilledError(f"{what} was killed by {name}", hint=hint, signal=number)


def _drain(pipe: IO[bytes] | None, into: list[str], on_line: Callable[[str], None] | None) -> None:
    if pipe is None:
        return
    with pipe:
        for raw in pipe:
            line = raw.decode("utf-8", errors="replace")
            into.append(line)
            if on_line is not None:
                on_line(line.rstrip("\r\n"))


if sys.platform != "win32":
    # What is passed on to an attached child. SIGCONT is not among them: it works on a stopped process by itself.
    _FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
                  signal.SIGTSTP)  # fmt: skip
    _FROM_TERMINAL = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP})
    _JOB_CONTROL = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})

    def _run_attached_on_posix(argv: Sequence[str], env: Mapping[str, str]) -> int:
        # A signal that was ignored when envpin started (nohup, `&` in a script) stays ignored, here and in the child.
        watched = {number for number in _FORWARDED if signal.getsignal(number) != signal.SIG_IGN} | {signal.SIGCHLD}
        before_chld = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # a blocked, ignored one may be lost
        # Blocked before the child exists and undone inside it by posix_spawn: no signal falls between the two.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        try:
            child = _spawn(argv, env, mask)
            try:
                return _attend(child, watched)
            finally:
                # What arrived while the child was ending was meant for it.
                while signal.sigpending() & watched:
                    signal.sigwait(watched)
        finally:
            signal.signal(signal.SIGCHLD, before_chld if before_chld is not None else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _spawn(argv: Sequence[str], env: Mapping[str, str], mask: Iterable[int]) -> int:
        # Python ignores these two for itself; a training run must find them as a shell would have left them.
        reset = [signal.SIGPIPE, signal.SIGXFSZ]
        path = find_program(argv[0], env)
        try:
            return os.posix_spawn(path, list(argv), dict(env), setsigmask=mask, setsigdef=reset)
        except FileNotFoundError as missing:
            raise InputError(
                f"`{argv[0]}` was not found, or its interpreter was not", path=argv[0], hint="check the path"
            ) from missing
        except PermissionError as denied:
            raise InputError(f"`{argv[0]}` may not be executed", path=argv[0]) from denied
        except OSError as failed:
            if failed.errno != errno.ENOEXEC:
                raise InputError(f"`{argv[0]}` cannot be executed: {failed.strerror}", path=argv[0]) from failed
            # A script without a first line is a shell's, by the rule of execvp.
            shell = ["/bin/sh", path, *argv[1:]]
            return os.posix_spawn(shell[0], shell, dict(env), setsigmask=mask, setsigdef=reset)

    def _attend(child: int, watched: set[signal.Signals]) -> int:
        """Pass signals on until the child has ended; its status, 128 + N where signal N ended it."""
        while True:
            found, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
            if found and os.WIFSTOPPED(status):
                if os.WSTOPSIG(status) in _JOB_CONTROL:
                    _stop_with(child)
                continue
            if found:
                return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            number, from_terminal = _next_signal(watched)
            if number != signal.SIGCHLD and not from_terminal:
                os.kill(child, number)  # it is our unreaped child, so its number cannot be somebody else's

    def _next_signal(watched: set[signal.Signals]) -> tuple[signal.Signals, bool]:
        """Wait for a signal: which, and whether the terminal sent it, in which case the child has it already."""
        if sys.platform == "linux":
            info = signal.sigwaitinfo(watched)
            return signal.Signals(info.si_signo), info.si_code > 0  # kill and its kin have si_code <= 0
        # Without sigwaitinfo (macOS) a keyboard signal to the foreground group is taken for the terminal's.
        number = signal.sigwait(watched)
        return signal.Signals(number), number in _FROM_TERMINAL and _in_foreground()

    def _in_foreground() -> bool:
        for descriptor in (0, 1, 2):
            try:
                return os.tcgetpgrp(descriptor) == os.getpgrp()
            except OSError:
                continue
        return False

    def _stop_with(child: int) -> None:
        """Stop as the child did; when a shell resumes us, resume a child that it did not resume itself."""
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            resumed = hasattr(os, "waitid") and os.waitid(os.P_PID, child, os.WCONTINUED | os.WNOHANG)
        except ChildProcessError:  # it was resumed and has ended since: Linux asks such a child for its exit only
            return
        if not resumed:
            os.kill(child, signal.SIGCONT)
