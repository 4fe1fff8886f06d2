"""`envpin completion bash|zsh|fish`: a script made from the command table and each command's parser."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from envpin.cli.parser import build_parser, load_command
from envpin.cli.table import COMMANDS

if TYPE_CHECKING:
    from envpin.cli.console.console import Console

takes_child = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell to complete in")


def run(args: argparse.Namespace, console: Console) -> int:
    words = {entry.name: _words(entry.name) for entry in COMMANDS}
    render = {"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell]
    console.data(render(words))
    return 0


def _words(name: str) -> list[str]:
    """The options and subcommands of one command, in the order its help shows them."""
    command = load_command(name)
    top = build_parser(command)
    subparsers = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    found: list[str] = []
    for action in subparsers.choices[name]._actions:  # noqa: SLF001
        found += action.option_strings
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            found += list(action.choices)
        elif action.choices and not action.option_strings:
            found += [str(choice) for choice in action.choices]
    return found


def _bash(words: dict[str, list[str]]) -> str:
    cases = "\n".join(f'    {name}) words="{" ".join(options)}" ;;' for name, options in words.items())
    return f"""_envpin() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$current"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current") $(compgen -f -- "$current"))
}}
complete -o filenames -F _envpin envpin
"""


def _zsh(words: dict[str, list[str]]) -> str:
    summaries = " ".join(f"'{entry.name}:{entry.summary.replace(':', ' ').replace(chr(39), '')}'" for entry in COMMANDS)
    cases = "\n".join(f"    {name}) compadd -- {' '.join(options)}; _files ;;" for name, options in words.items())
    return f"""#compdef envpin
_envpin() {{
  if (( CURRENT == 2 )); then
    local -a commands
    commands=({summaries})
    _describe 'command' commands
    return
  fi
  case "$words[2]" in
{cases}
  esac
}}
compdef _envpin envpin
"""


def _fish(words: dict[str, list[str]]) -> str:
    lines = ["complete -c envpin -f -n __fish_use_subcommand"]
    for entry in COMMANDS:
        summary = entry.summary.replace("'", "")
        lines.append(f"complete -c envpin -f -n __fish_use_subcommand -a {entry.name} -d '{summary}'")
    for name, options in words.items():
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        for option in options:
            if option.startswith("--"):
                lines.append(f"complete -c envpin {seen} -l {option[2:]}")
            elif not option.startswith("-"):
                lines.append(f"complete -c envpin {seen} -a {option}")
    return "\n".join(lines)
