"""`--format` of the commands whose findings a CI system shows. None of them is imported until it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from envpin.cli.console.console import Console
    from envpin.report.annotations import Subject

FORMATS = ("text", "json", "sarif", "github", "junit")


def add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="how to answer: text, json (as --json), sarif (code scanning), github (annotations), junit (test reports)",
    )


def is_for_ci(args: argparse.Namespace) -> bool:
    """Whether one of the formats for CI was asked for.

    Raises:
        UsageError: `--json` as well.
    """
    if args.format in {"text", "json"}:
        return False
    if args.json:
        from envpin.core.errors import UsageError

        raise UsageError(f"`--json` and `--format {args.format}` exclude each other", hint="leave one of them out")
    return True


def answer(subjects: Sequence[Subject], args: argparse.Namespace, console: Console) -> None:
    """Print what was found in the format that was asked for; files are named from the current folder."""
    from pathlib import Path

    from envpin.report.annotations import render
    from envpin.version import __version__

    text = render(subjects, args.format, command=args.command, version=__version__, root=Path.cwd())
    if text and args.format == "github":
        console.commands(text)
    elif text:
        console.data(text)


def stale_lock(path: Path, problems: Sequence[str]) -> Subject:
    """A lock as CI shows it: a blocker for each of its problems."""
    from envpin.core.findings import Finding
    from envpin.report.annotations import Subject

    findings = [Finding(code="lock-stale", severity="blocker", message=one) for one in problems]
    return Subject(path=str(path), findings=tuple(findings))
