"""Builds the argument parser: every command's name for `--help`, the arguments of the one that was named."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from envpin.cli.console.output import visible
from envpin.cli.console.width import columns
from envpin.cli.table import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from envpin.cli.console.console import Console
    from envpin.core.errors import UsageError


# What other programs call it, or what it is called one word further on.
_OTHER_NAMES = {
    "compare": "diff",
    "create": "env create",
    "exec": "run",
    "export": "env export",
    "freeze": "record --attach FOLDER",
    "install": "env create",
    "lint": "check",
    "list": "env list",
    "merge": "replay merge",
    "prune": "env prune",
    "publish": "push",
    "repeat": "replay train",
    "resolve": "matrix resolve",
    "shell": "run REF -- bash",
    "show": "matrix show",
    "train": "record -- CMD",
    "upload": "push",
    "validate": "check",
    "version": "--version",
}
_USUAL_VERBS = {"envpin replay": "merge", "envpin env": "create", "envpin matrix": "resolve"}


class CommandModule(Protocol):
    """What a module of `envpin.cli` offers. `takes_child` is true where `-- CMD…` follows the options."""

    takes_child: bool

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace, console: Console) -> int: ...


class _Formatter(argparse.HelpFormatter):
    """Help as wide as the terminal. Left to itself, argparse imports shutil and all it can unpack to find that out."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=(columns() or 80) - 2)


class _Parser(argparse.ArgumentParser):
    """argparse, with our message style and exit code 2. `words` is what it will be given to parse."""

    words: Sequence[str] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": _Formatter, **options})

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(visible(message) if message else message, file)

    def format_help(self) -> str:
        text, name = super().format_help(), self.prog.partition(" ")[2]
        if not name:  # the list of commands: it imports nothing more
            return text
        from envpin.cli.examples import EXAMPLES

        return text + (f"\nexample:\n  {EXAMPLES[name]}\n" if name in EXAMPLES else "")

    def error(self, message: str) -> NoReturn:
        from envpin.core.errors import UsageError

        raise UsageError(message, hint=self._closest(message) or f"{self.prog} --help")

    def unknown(self, strange: Sequence[str]) -> UsageError:
        """For words that the named command has no place for: a mistyped option with the nearest one there is."""
        from envpin.core.command_text import command_text
        from envpin.core.errors import UsageError

        prog, words = self._named().prog, list(self.words)
        option = next((word for word in strange if word.startswith("-")), None)
        if option is None:
            return UsageError(f"`{prog}` does not take `{strange[0]}`", hint=f"{prog} --help")
        name, equals, value = option.partition("=")
        close = self.closest_option(name)
        if close is None or option not in words:
            return UsageError(f"`{prog}` has no option `{name}`", hint=f"{prog} --help")
        words[words.index(option)] = close + equals + value
        return UsageError(f"`{prog}` has no option `{name}`", hint=f"did you mean `{command_text('envpin', *words)}`?")

    def closest_option(self, name: str) -> str | None:
        """The option of the named command that `name` was probably meant to be."""
        import difflib

        options = [one for one in self._named()._option_string_actions if one.startswith("--")]  # noqa: SLF001
        return next(iter(difflib.get_close_matches(name, options, n=1)), None)

    def _named(self) -> _Parser:
        """The parser of the verb that the words name; this one where they name none."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  it has no public name
                verb = next((word for word in self.words if word in action.choices), None)
                if verb is not None:
                    child: _Parser = action.choices[verb]
                    child.words = self.words[self.words.index(verb) + 1 :]
                    return child._named()
        return self

    def _closest(self, message: str) -> str | None:
        """The whole command with a mistyped verb or choice replaced by the nearest one there is, or with the usual verb
        where it has none; an example of it where something is missing."""
        import difflib
        import re

        from envpin.core.command_text import command_text

        if "arguments are required" in message:
            from envpin.cli.examples import EXAMPLES

            example = EXAMPLES.get(self.prog.partition(" ")[2])
            return f"as in `{example}`; `{self.prog} --help` tells the rest" if example else None
        found = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if found is None:
            return None
        choices = re.findall(r"[^\s,']+", found[2])
        close = difflib.get_close_matches(found[1], choices, n=1)
        words = list(self.words)
        if close and found[1] in words:
            words[words.index(found[1])] = close[0]
        elif close:
            return f"did you mean `{close[0]}`?"
        elif words[:1] == [found[1]] and "--help" not in words and (verb := _USUAL_VERBS.get(self.prog)):
            words.insert(0, verb)
        else:
            return None
        return f"did you mean `{command_text(*self.prog.split(), *words)}`?"


def load_command(name: str) -> CommandModule | None:
    """Import the module of the command called `name`; None where there is no such command."""
    for command in COMMANDS:
        if command.name == name:
            return cast("CommandModule", importlib.import_module(f"envpin.cli.commands.{command.module}"))
    return None


def build_parser(command: CommandModule | None, arguments: Sequence[str] = ()) -> _Parser:
    """The parser: every command's name where `command` is None, else that command alone, which `arguments` names."""
    parser, subparsers = _top()
    parser.words = arguments
    for entry in COMMANDS:
        own = command is not None and command.__name__ == f"envpin.cli.commands.{entry.module}"  # type: ignore[attr-defined]
        if command is None or own:
            child = subparsers.add_parser(entry.name, help=entry.summary, description=_sentence(entry.summary))
        if command is not None and own:
            child.words = arguments[1:]
            _fill(child, command)
    return parser


def build_whole_parser() -> argparse.ArgumentParser:
    """The parser with the arguments of every command, which imports them all: for completion scripts."""
    parser, subparsers = _top()
    for entry in COMMANDS:
        command = load_command(entry.name)
        assert command is not None  # noqa: S101  the table names modules that exist
        described = _sentence(entry.summary)
        _fill(subparsers.add_parser(entry.name, help=entry.summary, description=described), command)
    return parser


def _top() -> tuple[_Parser, argparse._SubParsersAction[_Parser]]:
    parser = _Parser(
        prog="envpin",
        description="Pin, rebuild and prove the environment that an adapter was trained in.",
        epilog="`envpin COMMAND --help` explains a command. Exit codes: 0 good, 1 check failed or nothing found, "
        "2 usage or unreadable input, 3 environment, 4 network, disk or a killed child, 5 refused, 130 interrupted.",
    )
    parser.add_argument("-V", "--version", action="store_true", help="print the version and exit")
    return parser, parser.add_subparsers(metavar="COMMAND", title="commands", dest="command")


def _fill(child: argparse.ArgumentParser, command: CommandModule) -> None:
    child.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    command.add_arguments(child)


def verbs_to_add(parser: argparse.ArgumentParser, verbs: Iterable[str]) -> list[str]:
    """Of the verbs of a command those that its parser needs: the one that is named first, else all of them.

    Each parser that is built and not used costs half a millisecond.
    """
    known = list(verbs)
    words: Sequence[str] = getattr(parser, "words", ())
    first = next((word for word in words if word != "--json"), None)
    return [first] if first in known else known


def suggest(name: str) -> str | None:
    """The command that `name` was probably meant to be."""
    import difflib

    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    close = difflib.get_close_matches(name, [entry.name for entry in COMMANDS], n=1)
    return close[0] if close else None


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
