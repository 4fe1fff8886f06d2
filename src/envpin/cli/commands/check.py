"""`envpin check ADAPTER`: will it load and merge? Headers and JSON only; nothing is built, imported or run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.cli.console.formats import add_format, answer, is_for_ci
from envpin.core.sizes import counted

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.core.place import Place
    from envpin.diagnose.subject import CheckReport

takes_child = False
_ROWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="ADAPTER", help="the adapter's or model's folder, or user/name[@revision] on the Hub"
    )
    parser.add_argument("--base", metavar="B", help="the base model: a folder, or user/name[@revision] on the Hub")
    parser.add_argument("--target", metavar="REF", help="also tell whether this environment can read it")
    parser.add_argument(
        "--require-base", action="store_true", help="end with 6 where no base was found to compare with"
    )
    parser.add_argument("--offline", action="store_true", help="ask no network: the Hub cache only")
    parser.add_argument("--all", action="store_true", help="list every mismatching tensor, not only the first ones")
    add_format(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Exit status 0: no blocker in what was looked at (see `compared`). 1: at least one. 6, if a base is required: no
    blocker, and nothing to compare with."""
    from envpin.core.errors import NOT_COMPARED
    from envpin.diagnose.check import check
    from envpin.remote.hub.client import Hub

    for_ci = is_for_ci(args)
    target = None
    if args.target:
        from envpin.diagnose.target import versions_of

        target = versions_of(args.target)
    hub = Hub(offline=args.offline, listener=console.listener())
    place = hub.open_place(args.path)
    report = check(place, base=args.base, target=target, open_remote=hub.open_remote)
    console.close()
    if for_ci:
        from envpin.report.annotations import Subject

        subject = Subject(path=str(place), findings=tuple(report.findings), not_compared=report.not_compared)
        answer([subject], args, console)
    elif console.json_mode:
        console.document(1, _document(place, report, target))
    else:
        from envpin.cli.console.findings import render_findings, render_table, wrapped

        console.data(wrapped(_headline(place, report)))
        if report.mismatches:
            shown = report.mismatches if args.all else report.mismatches[:_ROWS]
            rows = [(one.parameter, _shape(one.found), _shape(one.expected), one.why) for one in shown]
            console.data("")
            console.data(render_table(("parameter", "in the checkpoint", "expected", "why"), rows))
            if len(shown) < len(report.mismatches):
                console.data(f"… and {len(report.mismatches) - len(shown)} more (--all shows them)")
        if report.findings:
            console.data("")
            console.data(render_findings(report.findings))
        if report.selective is not None:
            console.data("")
            console.data(wrapped(_selective(report)))
    if report.blockers:
        return 1
    return NOT_COMPARED if args.require_base and report.not_compared is not None else 0


def _headline(place: Place, report: CheckReport) -> str:
    against = ""
    if report.base is not None:
        source = {"config": "; shapes from its config", "headers": "; shapes from its headers"}
        shapes = source.get(report.expected_from or "", "")
        against = f", against {report.base.place} ({report.base.found}{_at(report.base.commit)}{shapes})"
    path = f"{place}{_at(getattr(place, 'commit', None))}"
    if report.blockers:
        count = len(report.blockers)
        return f"{path}: {counted(count, 'blocker')}{against}"
    if report.not_compared is not None:
        return f"{path}: not compared: {report.not_compared}; no blocker in what was looked at{against}"
    return f"{path}: nothing stands in the way{against}"


def _at(commit: str | None) -> str:
    return f" at {commit[:12]}" if commit is not None else ""


def _selective(report: CheckReport) -> str:
    found = report.selective
    if found is None:
        return ""
    if not found.sound:
        return f"loading only what fits is not sound: {found.reason}"
    return "\n".join(
        ["loading selectively is sound:", *(f"  - {step}" for step in found.steps), f"  lost: {found.lost}"]
    )


def _shape(shape: tuple[int, ...]) -> str:
    return str(list(shape))


def _document(place: Place, report: CheckReport, target: dict[str, str] | None) -> dict[str, object]:
    import msgspec

    return {
        "path": str(place),
        "commit": getattr(place, "commit", None),
        "blockers": len(report.blockers),
        "base": None if report.base is None else {"path": str(report.base.place), "id": report.base.id,
                                                  "commit": report.base.commit, "found": report.base.found},
        "compared": report.compared,
        "not_compared": report.not_compared,
        "target": target,
        "findings": msgspec.to_builtins(report.findings),
        "mismatches": msgspec.to_builtins(report.mismatches),
        "selective": msgspec.to_builtins(report.selective),
    }  # fmt: skip
