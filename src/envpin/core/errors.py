"""Every error that envpin raises on purpose, with its exit code and its hint.

The tree::

    EnvpinError
    ├── CheckFailedError       1   a check failed, or nothing was found
    │   └── WrongEnvironmentError      in this environment; another may do better
    ├── UsageError             2   the command line makes no sense
    ├── InputError             2   a file or value cannot be read; carries a path and every problem found
    ├── EnvironmentSetupError       3   an environment cannot be resolved or built
    │   ├── ResolutionError        no set of versions satisfies the pins
    │   ├── NoInterpreterError     no Python of the wanted version is installed
    │   ├── BuildError             resolved, but an artifact cannot be installed (no wheel, wrong hash)
    │   └── EnvironmentDamagedError     installed bytes differ from what the receipt names
    ├── InfrastructureError    4   nothing wrong with the question: the machine could not answer it
    │   ├── NetworkError
    │   ├── DiskFullError
    │   ├── CacheDamagedError      what uv's cache holds cannot be installed
    │   ├── ChildKilledError       a process that envpin started was killed
    │   ├── TimedOutError          a process that envpin started took longer than it may
    │   └── WorkerBrokenError           a worker broke the protocol
    ├── RefusedError           5   refused for safety
    │   └── OutputExistsError
    └── InterruptedByUserError          130   the user pressed Ctrl-C

An answer that is no error has 0, 1 (see `CheckFailedError`) or, where the caller asked for it, `NOT_COMPARED`.

The command line catches `EnvpinError` once, in `envpin.cli.main`; any other exception keeps its traceback,
because it is a defect of envpin. This module imports nothing of envpin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


# Nothing bad was found, and something that was required was not compared: no pass, and no failure either.
NOT_COMPARED = 6


class EnvpinError(Exception):
    """Root of the tree. `message` says what failed and why; `hint` is a command or step that helps, or None.

    Where the command that was run helps if these words are added to it, `again` holds them; the command line, which
    knows it, then shows it in place of the hint."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"
    again: tuple[str, ...] = ()

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def to_json(self) -> dict[str, object]:
        """The document that `--json` prints for this error."""
        document: dict[str, object] = {
            "kind": self.kind,
            "message": self.message,
            "exit_code": self.exit_code,
        }
        if self.hint is not None:
            document["hint"] = self.hint
        return document


class CheckFailedError(EnvpinError):
    exit_code = 1
    kind = "check-failed"


class WrongEnvironmentError(CheckFailedError):
    """A check failed that versions decide: the base or the adapter does not load, or the merge does not follow it."""


class UsageError(EnvpinError):
    exit_code = 2
    kind = "usage"


class InputError(EnvpinError):
    """A file or value that cannot be read. `problems` holds one line per fault, each starting with its place."""

    exit_code = 2
    kind = "input"

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        problems: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__("\n".join([message, *(f"  {line}" for line in problems)]), hint=hint)
        self.path = path
        self.problems = tuple(problems)


class EnvironmentSetupError(EnvpinError):
    exit_code = 3
    kind = "environment"


class ResolutionError(EnvironmentSetupError):
    kind = "unresolvable"


class NoInterpreterError(EnvironmentSetupError):
    kind = "no-interpreter"


class BuildError(EnvironmentSetupError):
    kind = "uninstallable"


class EnvironmentDamagedError(EnvironmentSetupError):
    kind = "environment-damaged"


class InfrastructureError(EnvpinError):
    exit_code = 4
    kind = "infrastructure"


class NetworkError(InfrastructureError):
    kind = "network"


class DiskFullError(InfrastructureError):
    kind = "disk-full"


class CacheDamagedError(InfrastructureError):
    """`package` is the one that uv stopped at, where it said so."""

    kind = "cache-damaged"

    def __init__(self, message: str, *, hint: str | None = None, package: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.package = package


class ChildKilledError(InfrastructureError):
    """`signal` is the number of the signal, where one is known."""

    kind = "child-killed"

    def __init__(self, message: str, *, hint: str | None = None, signal: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.signal = signal


class TimedOutError(InfrastructureError):
    kind = "timed-out"


class WorkerBrokenError(InfrastructureError):
    kind = "worker-broken"


class RefusedError(EnvpinError):
    exit_code = 5
    kind = "refused"


class OutputExistsError(RefusedError):
    kind = "output-exists"


class InterruptedByUserError(EnvpinError):
    exit_code = 130
    kind = "interrupted"

    def __init__(self, message: str = "interrupted", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
