"""Write the pages of the reference that the code tells: docs/reference/commands.md and the kinds of errors.

`python scripts/reference_pages.py`; tests/unit/test_docs.py fails where a page is not what this writes.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser and those of its verbs, each once."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in dict.fromkeys(action.choices.values()):
                yield from parsers(child)


def commands_page() -> str:
    """Every command, verb and option, with an example."""
    from envpin.cli.examples import EXAMPLES
    from envpin.cli.parser import build_whole_parser

    lines = [
        "# Commands",
        "",
        "Written by `scripts/reference_pages.py` from the parsers of the command line. Every command also has `-h` and `--json`",
        "(one JSON document with a `schema` number on stdout). What a REF is: [environments.md](environments.md).",
    ]
    for parser in parsers(build_whole_parser()):
        name = parser.prog.partition(" ")[2]
        if not name:
            continue
        level = "##" if " " not in name else "###"
        lines += [
            "",
            f"{level} envpin {name}",
            "",
            _plain(parser.description or ""),
            "",
            "```sh",
            EXAMPLES[name],
            "```",
        ]
        rows = [row for action in parser._actions if (row := _row(action)) is not None]
        if rows:
            lines += ["", "| argument | |", "|---|---|", *rows]
        if parser.epilog:
            lines += ["", _plain(parser.epilog)]
    return "\n".join(lines) + "\n"


def _row(action: argparse.Action) -> str | None:
    if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)) or "--json" in action.option_strings:
        return None
    if action.help == argparse.SUPPRESS:
        return None
    values = (
        ""
        if action.nargs == 0
        else str(action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper()))
    )
    names = ", ".join(action.option_strings)
    shown = f"{names} {values}".strip() if names else values
    return f"| `{shown.replace('|', chr(92) + '|')}` | {_plain(action.help or '')} |"


def _plain(text: str) -> str:
    return (
        " ".join((text % {"prog": "envpin"} if "%(prog)s" in text else text.replace("%%", "%")).split())
        .replace("|", "\\|")
        .replace("<", "&lt;")
    )


def errors_page() -> str:
    """Every kind of error with its exit code, from the tree."""
    from envpin.core import errors

    found = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.EnvpinError)]
    lines = [
        "# Kinds of errors",
        "",
        "Written by `scripts/reference_pages.py` from `src/envpin/core/errors.py`. `kind` is that of the document that `--json` prints for an",
        "error; the class is what the [Python API](python-api.md) raises. What the codes mean: [exit-codes.md](exit-codes.md).",
        "",
        "| kind | exit code | class | below |",
        "|---|---|---|---|",
    ]
    rows = [
        f"| `{one.kind}` | {one.exit_code} | `{one.__name__}` | `{one.__bases__[0].__name__}` |"
        for one in found
        if one is not errors.EnvpinError
    ]
    return "\n".join([*lines, *rows]) + "\n"


def pages() -> dict[str, str]:
    """The text of each page by its name. The width of the terminal changes none of it."""
    os.environ["COLUMNS"] = "120"
    return {"commands.md": commands_page(), "errors.md": errors_page()}


if __name__ == "__main__":
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
