"""`envpin matrix …`: which versions work for which model family. Each verb lives in `matrix_*.py` beside this file."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from envpin.cli.commands.env_arguments import add_python
from envpin.cli.parser import verbs_to_add
from envpin.cli.stack import add_stack_arguments

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console

takes_child = False

_VERBS = {
    "list": ("matrix_show", "every family, its pins and how well they are proved"),
    "show": ("matrix_show", "one family, or the newest facts of a model type"),
    "resolve": ("matrix_resolve", "which family is this model, why, and which versions to pin"),
    "lint": ("matrix_lint", "check the matrix: relations, versions, evidence; --online asks the index and uv"),
    "collect": ("matrix_collect", "read every release of transformers from the index and update what is known"),
    "verify": ("matrix_verify", "run what the matrix claims: tiny models of families, in real environments"),
    "html": ("matrix_html", 'write a page, "which versions work for my model", that needs no network'),
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
    module = importlib.import_module(f"envpin.cli.commands.{_VERBS[args.verb][0]}")
    answer: int = getattr(module, f"run_{args.verb}")(args, console)
    return answer


def _list(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--grade", help="only families proved at least this well (declared … merge-verified)")
    verb.add_argument("--whole", action="store_true",
                      help="with --json: families, breaks, runs, releases, tools, all in one document")  # fmt: skip
    verb.add_argument("--runs", action="store_true", help="instead: in which first and last releases of each minor "
                      "version of transformers a family was merged, and in which it was not")  # fmt: skip


def _show(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("family", metavar="FAMILY", help="a family of `envpin matrix list`, or a model_type")


def _resolve(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", metavar="PATH_OR_NAME", help="a model or adapter folder, a config.json, or a Hub name")
    verb.add_argument("--base", metavar="DIR", help="where the base of an adapter is")
    add_python(verb, "the Python of the environments")
    add_stack_arguments(verb)


def _lint(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--online", action="store_true", help="also: do the versions exist, and does uv resolve the pins")


def _collect(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-o", "--output", metavar="FILE", help="write here instead of your configuration folder")
    verb.add_argument("-j", "--jobs", type=int, default=16, metavar="N", help="requests at a time (default 16)")
    verb.add_argument("--offline", action="store_true", help="only what is cached")
    verb.add_argument("--fields", action="store_true",
                      help="instead: which fields each release of peft and transformers writes")  # fmt: skip
    verb.add_argument("--stack", action="store_true",
                      help="instead: what each release of trainers, servers and quantizers lists, needs")  # fmt: skip


def _verify(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("families", nargs="*", metavar="FAMILY", help="families to verify (default: all that have a "
                      "tiny model)")  # fmt: skip
    verb.add_argument("--transformers", action="append", default=[], metavar="SPEC",
                      help="releases to try: `4.43.1,4.51.3`, or a range such as `>=4.50,<5`, of which each minor "
                      "series gives its last patch (default: each family's own known-good versions)")  # fmt: skip
    verb.add_argument("--since-last", action="store_true",
                      help="read the index, and try the releases that are newer than the newest in which most families "
                      "were run, with adapters from there and back")  # fmt: skip
    verb.add_argument("--within", type=float, metavar="MINUTES",
                      help="begin nothing later than this; run the same command again to go on")  # fmt: skip
    verb.add_argument("--capability", action="append", default=[], metavar="NAME",
                      help="only this, and what it needs: load, forward, generate, train, reload, merge, cross-merge; "
                      "more than once for several")  # fmt: skip
    verb.add_argument("--with", dest="held", action="append", default=[], metavar="PIN",
                      help="holds in every environment, whatever the matrix says: `torch==2.13.0`")  # fmt: skip
    add_python(verb, "the Python of every environment (default: the matrix decides)")
    verb.add_argument("-j", "--jobs", type=int, default=1, metavar="N", help="processes at a time (default 1)")
    verb.add_argument(
        "--executor",
        metavar="dask:ADDRESS",
        help="climb on the workers of a Dask cluster (`dask:tcp://HOST:8786`; envpin's extra `dask`)",
    )
    verb.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS",
                      help="how long one step may take (default 300)")  # fmt: skip
    verb.add_argument("-o", "--output", metavar="FILE", help="write the evidence here, for `matrix add --from FILE`")
    verb.add_argument("--update", action="store_true", help="add the evidence to the matrix, as `matrix add` does")
    verb.add_argument("--again", action="store_true", help="run what is known already")
    verb.add_argument("--results", metavar="DIR", help="where results are kept and looked for (default: `verify` in "
                      "the environment store)")  # fmt: skip
    verb.add_argument("--offline", action="store_true", help="only what uv's cache holds")
    _adding(verb)


def _html(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-o", "--output", metavar="FILE", default="envpin-matrix.html",
                      help="where to write it (default: envpin-matrix.html here; - prints it)")  # fmt: skip


def _add(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--from", dest="source", metavar="FILE", required=True, action="append",
                      help="evidence of `matrix verify` or `bisect`; more than once for several files")  # fmt: skip
    _adding(verb)


def _adding(verb: argparse.ArgumentParser) -> None:
    """What `matrix add` and `matrix verify --update` share."""
    verb.add_argument("--dry-run", action="store_true", help="show the change of the matrix, write nothing to it")
    verb.add_argument("--keep-going", action="store_true",
                      help="leave out the families and breaks that are contradicted, add the rest")  # fmt: skip
    verb.add_argument("--replace", action="store_true", help="a new outcome may replace a kept one that says otherwise")


_MATRIX = "use this matrix alone, instead of the one of this envpin with your overlay"
_MATRIX_HELP = {"add": "the matrix to edit (default: your own overlay, ENVPIN_MATRIX or matrix.toml in the "
                       "configuration folder)"}  # fmt: skip
_ARGUMENTS = {"list": _list, "show": _show, "resolve": _resolve, "lint": _lint, "collect": _collect,
              "verify": _verify, "html": _html, "add": _add}  # fmt: skip
