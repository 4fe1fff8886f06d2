"""Write the pages of the reference that the code tells: commands, kinds of errors, the Python API.

`python scripts/reference_pages.py`; tests/unit/test_docs.py fails where a page is not what this writes.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


# What the public functions give. Their modules are private; what these classes hold is not.
RESULTS = {
    "CheckReport": "envpin.diagnose.subject",
    "Inferred": "envpin.inference.infer",
    "MergePlan": "envpin.replay.plan",
    "Merged": "envpin.replay.merge",
    "MergeRecord": "envpin.replay.record",
    "MergeProof": "envpin.proof.prove",
    "Manifest": "envpin.manifest.types",
    "EnvironmentSpec": "envpin.envs.store.identity",
}
_AS_COMMAND = {
    "check": "envpin check", "infer": "envpin infer", "plan": "envpin replay merge --dry-run",
    "replay_merge": "envpin replay merge", "prove": "envpin prove", "record": "envpin record", "watch": "envpin record",
}  # fmt: skip


def python_page() -> str:
    """Every public name: its signature and docstring, and what it gives."""
    import envpin

    lines = [
        "# Python API",
        "",
        "Written by `scripts/reference_pages.py` from `envpin.__all__`: what is not there is private. Examples:",
        "[how-to](../how-to/from-python.md), for training scripts [record](../how-to/record.md#from-python).",
        "",
        "`AnyPath` is `str | os.PathLike[str]`; a `Listener` is called with each event that the command line would show.",
    ]
    for name in sorted(envpin.__all__, key=str.lower):
        if name == "__version__":
            continue
        found = getattr(envpin, name)
        lines += ["", f"## `{name}`", "", *_signature(name, found), *_paragraphs(found)]
        if name in _AS_COMMAND:
            lines += ["", f"On the command line: `{_AS_COMMAND[name]}`."]
    lines += ["", "# What they give"]
    for name, module in RESULTS.items():
        lines += ["", f"## {name}", "", *_result(getattr(importlib.import_module(module), name))]
    return "\n".join(lines) + "\n"


def _signature(name: str, found: Any) -> list[str]:
    if issubclass(found, Warning) if isinstance(found, type) else False:
        return []
    signature = inspect.signature(found)
    parameters = [str(one).replace("'", "") for one in signature.parameters.values()]
    kinds = [one.kind for one in signature.parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        parameters.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    gives = "" if isinstance(found, type) else f" -> {signature.return_annotation!s}"
    short = f"envpin.{name}({', '.join(parameters)}){gives}"
    whole = [short] if len(short) <= 100 else [f"envpin.{name}(", *(f"    {one}," for one in parameters), f"){gives}"]
    return ["```python", *(_DEFAULT.sub(r"\1", line) for line in whole), "```", ""]


# A function as a default is shown by its name, without its address.
_DEFAULT = re.compile(r"<function (\w+) at 0x[0-9a-f]+>")


def _paragraphs(found: object) -> list[str]:
    """The docstring, as the page's own lines; what it raises as a list."""
    text = inspect.getdoc(found) or ""
    return [
        line.strip() if line.startswith("    ") else line for line in text.replace("Raises:", "Raises:\n").splitlines()
    ]


def _result(found: type) -> list[str]:
    rows = [f"| `{name}` | {_code(kind)} | |" for name, kind in found.__annotations__.items()]
    for name, value in vars(found).items():
        if isinstance(value, property) and not name.startswith("_"):
            gives = value.fget.__annotations__.get("return", "") if value.fget is not None else ""
            rows.append(
                f"| `{name}` | {_code(gives)} | {_plain((inspect.getdoc(value) or '').partition(chr(10) * 2)[0])} |"
            )
    return [*_paragraphs(found), "", "| attribute | type | |", "|---|---|---|", *rows]


def _code(kind: object) -> str:
    return f"`{kind}`".replace("|", "\\|")


def pages() -> dict[str, str]:
    """The text of each page by its name. The width of the terminal changes none of it."""
    os.environ["COLUMNS"] = "120"
    return {"commands.md": commands_page(), "errors.md": errors_page(), "python-api.md": python_page()}


if __name__ == "__main__":
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
