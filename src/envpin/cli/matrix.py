"""`envpin matrix …`: which versions work for which model family. Each verb lives in `matrix_*.py` beside this file."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from envpin.cli.parser import verbs_to_add

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console import Console

takes_child = False

_VERBS = {
    "list": ("matrix_show", "every family, its pins and how well they are proved"),
    "show": ("matrix_show", "one family, or the newest facts of a model type"),
    "resolve": ("matrix_resolve", "which family is this model, why, and which versions to pin"),
    "lint": ("matrix_lint", "check the matrix: relations, versions, evidence; --online asks the index and uv"),
    "collect": ("matrix_collect", "read every release of transformers from the index and update what is known"),
    "add": ("matrix_add", "put evidence of `matrix verify` or `bisect` into the matrix, or into your own overlay"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", title="verbs", dest="verb", required=True)
    for name in verbs_to_add(parser, _VERBS):
        summary = _VERBS[name][1]
        verb = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        verb.add_argument("--json", action="store_true", help="print one JSON document on stdout")
        verb.add_argument("--matrix", metavar="FILE", help=_MATRIX_HELP.get(name, _MATRIX))
        _ARGUMENTS[name](verb)


def run(args: argparse.Namespace, console: Console) -> int:
    module = importlib.import_module(f"envpin.cli.{_VERBS[args.verb][0]}")
    answer: int = getattr(module, f"run_{args.verb}")(args, console)
    return answer


def _list(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--grade", help="only families proved at least this well (declared … merge-verified)")


def _show(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("family", help="a family of `envpin matrix list`, or a model_type")


def _resolve(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", metavar="PATH_OR_NAME", help="a model or adapter folder, a config.json, or a Hub name")
    verb.add_argument("--base", metavar="DIR", help="where the base of an adapter is")


def _lint(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--online", action="store_true", help="also: do the versions exist, and does uv resolve the pins")


def _collect(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-o", "--output", metavar="FILE", help="write here instead of the data of this envpin")
    verb.add_argument("-j", "--jobs", type=int, default=8, metavar="N", help="requests at a time (default 8)")
    verb.add_argument("--offline", action="store_true", help="only what is cached")


def _add(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--from", dest="source", metavar="FILE", required=True, action="append",
                      help="evidence of `matrix verify` or `bisect`; more than once for several files")  # fmt: skip
    verb.add_argument("--dry-run", action="store_true", help="show the change, write nothing")
    verb.add_argument("--keep-going", action="store_true",
                      help="leave out the families and breaks that are contradicted, add the rest")  # fmt: skip
    verb.add_argument("--replace", action="store_true", help="a new outcome may replace a kept one that says otherwise")


_MATRIX = "use this matrix alone, instead of the one of this envpin with your overlay"
_MATRIX_HELP = {"add": "the matrix to edit (default: your own overlay, ENVPIN_MATRIX or matrix.toml in the "
                       "configuration folder)"}  # fmt: skip
_ARGUMENTS = {"list": _list, "show": _show, "resolve": _resolve, "lint": _lint, "collect": _collect,
              "add": _add}  # fmt: skip
