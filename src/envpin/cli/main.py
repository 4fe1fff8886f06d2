"""The command line: argv to one call to a rendered result. The only code of envpin that prints or exits."""

from __future__ import annotations

import errno
import gc
import os
import sys
from typing import TYPE_CHECKING

from envpin.core.errors import (
    DiskFullError,
    EnvpinError,
    InfrastructureError,
    InputError,
    InterruptedByUserError,
    UsageError,
)
from envpin.version import __version__

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from envpin.cli.console.console import Console


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (see "Exit codes" in docs/reference/exit-codes.md)."""
    try:
        return _main(argv)
    except KeyboardInterrupt as ended:  # before there was anything to say it with, or while the last word was said
        return int(getattr(ended, "status", InterruptedByUserError.exit_code))


def run_and_end() -> int:
    """As `main`, for a process that ends with it."""
    status = main()
    # The interpreter looks through everything for cycles as it ends: a tenth of a quick command, for memory that the
    # system takes back anyway.
    gc.freeze()
    return status


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Looking for cycles at every 700th new object takes a tenth of a quick command, and there are hardly any.
    gc.set_threshold(50_000)
    from envpin.cli.console.console import Console
    from envpin.cli.console.output import guard, release
    from envpin.core.interrupts import HeldImport

    guard()
    HeldImport("msgspec").install()
    console = Console(json_mode=_wants_json(arguments))
    try:
        return _settled(_dispatch(arguments, console), arguments, console)
    except KeyboardInterrupt as ended:
        console.error(InterruptedByUserError())
        return int(getattr(ended, "status", InterruptedByUserError.exit_code))
    except EnvpinError as error:
        if error.again:
            error.hint = _again(arguments, error.again)
        console.error(error)
        return error.exit_code
    except (OSError, UnicodeError, RecursionError, MemoryError) as fault:
        if os.environ.get("ENVPIN_TRACEBACK"):
            raise
        explained = _explained(fault)
        console.error(explained)
        return explained.exit_code
    finally:
        console.close()
        release()


def _explained(fault: Exception) -> EnvpinError:
    """For what no reader or writer has turned into an error of its own: a file, a name or a machine that is at fault.
    Every other exception is a defect of envpin, and keeps its traceback."""
    if isinstance(fault, OSError):
        named = f"`{fault.filename}`" if fault.filename is not None else "a file"
        reason = fault.strerror or str(fault)
        if fault.errno in {errno.ENOSPC, errno.EDQUOT}:
            return DiskFullError(f"{named} cannot be written: {reason}", hint="free some space")
        if fault.errno in _OF_THE_INPUT:
            return InputError(f"{named} cannot be used: {reason}", path=str(fault.filename))
        return InfrastructureError(f"{named}: {reason}")
    if isinstance(fault, MemoryError):
        return InfrastructureError("out of memory")
    if isinstance(fault, RecursionError):
        return InputError("something in the input is nested too deep")
    return InputError(f"a name or a text in the input cannot be encoded: {fault}")


_OF_THE_INPUT = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR,
                           errno.ENOTDIR, errno.EINVAL, errno.EROFS, errno.ENXIO, errno.EEXIST})  # fmt: skip


def _settled(status: int, arguments: Sequence[str], console: Console) -> int:
    """The exit status of a command, given that its answer may not have arrived. A reader that left, as `head` does, is
    no fault; a child's status is the child's, whatever became of what is said about it; that of a verdict stays."""
    if console.unanswered is None or arguments[0] in {"record", "run"}:
        return status
    reason = console.unanswered.strerror or str(console.unanswered)
    error = InfrastructureError(f"the answer could not be written to stdout: {reason}")
    console.error(error)
    return status or error.exit_code


def _unknown(name: str) -> UsageError:
    from envpin.cli.parser import suggest

    close = suggest(name)
    hint = f"did you mean `envpin {close}`?" if close else "envpin --help"
    return UsageError(f"there is no command `{name}`", hint=hint)


def _misplaced(arguments: Sequence[str]) -> UsageError:
    """For an option in front of the command."""
    from envpin.cli.table import COMMANDS
    from envpin.core.command_text import command_text

    names = {entry.name for entry in COMMANDS}
    at = next((at for at, word in enumerate(arguments) if word in names), None)
    if at is None:
        from envpin.cli.parser import build_parser

        close = build_parser(None, arguments).closest_option(arguments[0])
        hint = f"did you mean `envpin {close}`?" if close else "envpin --help"
        return UsageError(f"`{arguments[0]}` is no option of envpin, and no command is named", hint=hint)
    return UsageError(
        f"`{arguments[0]}` stands in front of the command",
        hint=f"did you mean `{command_text('envpin', *arguments[at:], *arguments[:at])}`?",
    )


_PROGRAMS = frozenset({"python", "python3", "accelerate", "torchrun", "bash", "sh", "pytest", "jupyter"})


def _no_dashes(arguments: Sequence[str], strange: Sequence[str]) -> UsageError:
    """For a command of the user's that no `--` sets apart."""
    from envpin.core.command_text import command_text

    at = arguments.index(strange[0])
    own, child = list(arguments[:at]), list(arguments[at:])
    if arguments[0] == "run" and own[1:] and own[-1] in _PROGRAMS:  # taken for the environment
        own, child = [*own[:-1], "REF"], [own[-1], *child]
    elif child[0].endswith(".py"):
        child.insert(0, "python")
    return UsageError(
        f"`{strange[0]}` is no argument of `envpin {arguments[0]}`: a command to run follows `--`",
        hint=f"did you mean `{command_text('envpin', *own, '--', *child)}`?",
    )


def _again(arguments: Sequence[str], more: Sequence[str]) -> str:
    """The command that was run, with these words added to its own."""
    from envpin.core.command_text import command_text

    own, child = list(arguments), []
    if "--" in arguments:
        at = arguments.index("--")
        own, child = own[:at], own[at:]
    return command_text("envpin", *own, *more, *child)


def _wants_json(arguments: Sequence[str]) -> bool:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own or "--format=json" in own or "json" in _after("--format", own)


def _after(option: str, words: Sequence[str]) -> Sequence[str]:
    """The word that follows the option, if any."""
    at = words.index(option) + 1 if option in words else len(words)
    return words[at : at + 1]


def _dispatch(arguments: list[str], console: Console) -> int:
    from envpin.cli.parser import build_parser, load_command

    if not arguments:
        build_parser(None).print_help()
        return 2
    if arguments[0] in {"-V", "--version"}:
        console.data(f"envpin {__version__}")
        return 0
    if arguments[0] == "help":
        arguments = [*arguments[1:], "--help"]
    command = load_command(arguments[0])
    if command is None and not arguments[0].startswith("-"):
        raise _unknown(arguments[0])
    if command is None and arguments[0] not in {"-h", "--help"}:
        raise _misplaced(arguments)
    parser = build_parser(command, arguments)
    child: list[str] = []
    takes_child = command is not None and command.takes_child
    if takes_child and "--" in arguments:
        at = arguments.index("--")
        arguments, child = arguments[:at], arguments[at + 1 :]
    _refuse_empty(arguments)
    arguments = [_at_home(word) for word in arguments]
    namespace: argparse.Namespace
    namespace, strange = parser.parse_known_args(arguments)
    if strange:
        is_command = takes_child and not child and arguments[:2] != ["replay", "merge"]
        mistyped = strange[0].startswith("-") and parser.closest_option(strange[0].partition("=")[0]) is not None
        raise _no_dashes(arguments, strange) if is_command and not mistyped else parser.unknown(strange)
    namespace.child = child
    if command is None:
        return parser.error("no command given")  # argparse has answered `--help`; another option alone means nothing
    from envpin.core.endings import OrderlyEnd

    with OrderlyEnd():
        return command.run(namespace, console)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """What a shell leaves of "$UNSET": a path would be the current folder, an option would count as not given.

    Raises:
        UsageError: an argument or the value of an option is empty.
    """
    for at, word in enumerate(arguments):
        option = word.removesuffix("=") if word.startswith("--") and word.endswith("=") else ""
        if word and not option:
            continue
        before = arguments[at - 1]
        option = option or (before if before.startswith("-") else "")
        what = f"the value of `{option}` is empty" if option else f"argument {at} of `envpin` is empty"
        raise UsageError(what, hint="leave it out, or set the variable that stands there")


def _at_home(word: str) -> str:
    """A word with its `~` expanded, which a shell leaves as it is in quotes and behind `=`."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + os.path.expanduser(value) if value == "~" or value.startswith("~/") else word  # noqa: PTH111
