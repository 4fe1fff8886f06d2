"""`envpin completion bash|zsh|fish`: the shell's own completion of commands, verbs, options, choices and families.

shtab writes the scripts from the parsers; what an argument without choices takes is told by its metavar.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpin.cli.parser import build_whole_parser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.cli.console.console import Console

takes_child = False

_FAMILIES = "envpin completion families 2>/dev/null"
# A family of the matrix, or a lock, folder or manifest.
_REFERENCE = {
    "bash": "_envpin_references",
    "zsh": "_envpin_references",
    "fish": f"({_FAMILIES}; __fish_complete_path (commandline -ct))",
    "preamble": {
        "bash": f'_envpin_references() {{\n  compgen -W "$({_FAMILIES})" -- "$1"\n  compgen -f -- "$1"\n}}',
        "zsh": f"_envpin_references() {{\n  compadd -- $({_FAMILIES})\n  _files\n}}",
    },
}
_FOLDERS = frozenset({"ADAPTER", "ADAPTER[:WEIGHT]", "B", "DIR", "FOLDER", "MERGED", "OUT"})
_FILES = frozenset({"FILE", "ID|FILE|WHAT…", "LOG", "PATH", "PATH_OR_NAME"})
_REFERENCES = frozenset({"REF", "V|REF"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'In the shell\'s start file: eval "$(envpin completion bash)", the same with zsh, and in fish '
        "envpin completion fish | source."
    )
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish", "families"),
                        help="bash, zsh or fish; families: the names that it completes")  # fmt: skip


def run(args: argparse.Namespace, console: Console) -> int:
    if args.shell == "families":
        from envpin.matrix.load import load_matrix

        families = sorted(load_matrix().families)
        if args.json:
            console.document(1, {"families": families})
        else:
            console.data("\n".join(families))
        return 0
    import shtab

    parser = build_whole_parser()
    for action in _actions(parser):
        complete = _completer(action)
        if complete is not None:
            vars(action)["complete"] = complete  # the attribute that shtab reads
    text = shtab.complete(parser, args.shell)
    if args.json:
        console.document(1, {"shell": args.shell, "text": text})
    else:
        console.data(text)
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001  argparse has no public way to its arguments
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for child in action.choices.values():
                yield from _actions(child)
        else:
            yield action


def _completer(action: argparse.Action) -> dict[str, Any] | None:
    """How a shell completes a value of this argument, where argparse does not know; None where nothing can."""
    import shtab

    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices or action.nargs == 0:
        return None
    if metavar in _REFERENCES:
        return _REFERENCE
    if metavar == "FAMILY":
        return shtab.cmd(_FAMILIES)
    if metavar in _FOLDERS:
        return shtab.DIRECTORY
    if metavar in _FILES or action.type is Path:
        return shtab.FILE
    words = " ".join(word for word in metavar.split("|") if word.islower())
    return {**shtab.cmd(f"echo {words}"), "zsh": f"({words})", "fish": words} if words else None
