"""Every command and option that a page names is one that the command line takes, whether or not a test can run it."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import pytest

from envpin.cli.main import main
from envpin.cli.parser import build_whole_parser
from envpin.cli.table import COMMANDS
from tests.support.pages import PAGES, ShownCommand, shown_commands, shown_options
from tests.support.places import ROOT
from tests.support.reference import generator

if TYPE_CHECKING:
    from pathlib import Path

SHOWN = list(dict.fromkeys(
    command
    for page in PAGES
    for command in shown_commands(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))
    if command.words[0] != "COMMAND"
))  # fmt: skip
# Options of benchmarks, of trainers, of mergekit and of Slurm, which pages tell of.
FOREIGN = frozenset(
    [
        "--remake",
        "--memory",
        "--axolotl",
        "--sizes",
        "--dora",
        "--chat-template",
        "--quantization",
        "--merge-adapter",
        "--external_plugins",
        "--signal",
    ]
)


def accepted(command: ShownCommand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line has against it; nothing where it would be run."""
    for entry in COMMANDS:
        if entry.name == command.words[0]:
            module = importlib.import_module(f"envpin.cli.commands.{entry.module}")
            monkeypatch.setattr(module, "run", lambda _args, _console: 0)
    words = ["8" if re.fullmatch(r"\$\w+", word) else word for word in command.words if word != "…"]
    try:
        status = main(words)
    except SystemExit as ended:
        status = int(ended.code or 0)
    said = capsys.readouterr().err
    if not command.whole and re.search(r"arguments are required|expected one argument", said):
        return ""  # the prose names a command, not one whole call of it
    return said or f"exit status {status}" if status else ""


@pytest.mark.parametrize("command", SHOWN, ids=str)
def test_command_of_a_page_is_accepted(
    command: ShownCommand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not accepted(command, monkeypatch, capsys)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_option_of_a_page_exists(page: Path) -> None:
    known = {
        option
        for parser in generator().parsers(build_whole_parser())
        for action in parser._actions
        for option in action.option_strings
    }
    named = shown_options(page.read_text(encoding="utf-8"))
    assert not [option for option in named if option not in known | FOREIGN]


@pytest.mark.parametrize(
    "words",
    [("chekc", "adapter"), ("check", "adapter", "--basis", "b"), ("env", "creat", "x"), ("push", "a"), ("check",)],
    ids=" ".join,
)
def test_command_that_no_parser_takes_is_found(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert accepted(ShownCommand(page="x.md", words=words, whole=True), monkeypatch, capsys)


def test_shown_commands_are_found_wherever_they_stand() -> None:
    page = (
        "`envpin a` and `envpin b\n--two`, `not envpin`\n\n    export X=1\n    envpin c --x  # why\n\n"
        "```console\n$ envpin d 2> log; echo $?\nenvpin no output\n$ envpin run REF -- envpin e \"f g\"\n```\n"
        "```bash\nsrun --ntasks=1 envpin h \\\n  --i\ndocker run IMAGE envpin j …\n```\n"
    )  # fmt: skip
    assert [(command.words, command.whole) for command in shown_commands("x.md", page)] == [
        (("d",), True),
        (("run", "REF", "--", "envpin", "e", "f g"), True),
        (("e", "f g"), True),
        (("h", "--i"), True),
        (("j", "…"), False),
        (("c", "--x"), True),
        (("a",), False),
        (("b", "--two"), False),
    ]


def test_every_page_with_commands_is_looked_at() -> None:
    looked_at = {command.page for command in SHOWN}
    named = {
        str(page.relative_to(ROOT))
        for page in PAGES
        if re.search(r"^(?:\$ |    )envpin ", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named
    assert named <= looked_at
