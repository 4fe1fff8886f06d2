"""`envpin bisect`: the release that broke or fixed something, or which package of a changed environment did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.cli.commands.env_arguments import add_python

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console

takes_child = True

_VERBS = ("log", "replay", "skip", "status")
_ACTIONS = ("config", "load", "forward", "generate", "train", "load-adapter", "merge")


_USAGE = """envpin bisect PACKAGE --good V --bad V [--family ID | --adapter DIR --base DIR] [OPTIONS] [-- CMD…]
       envpin bisect --good REF --bad REF [--family ID | --adapter DIR --base DIR] [OPTIONS] [-- CMD…]
       envpin bisect log [ID] | replay FILE | skip WHAT… | status [ID]"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = _USAGE
    parser.add_argument(
        "package",
        nargs="?",
        metavar="PACKAGE|log|replay|skip|status",
        help="the package to search; left out, --good and --bad are environments and every package may be the cause",
    )
    parser.add_argument(
        "rest",
        nargs="*",
        metavar="ID|FILE|WHAT…",
        help="the search (default: the last) whose log or status to show; the log to replay; the releases to skip",
    )
    ends = parser.add_argument_group("what is asked")
    ends.add_argument("--good", metavar="V|REF", help="a version (or environment) that works")
    ends.add_argument("--bad", metavar="V|REF", help="a version (or environment) that does not")
    ends.add_argument(
        "--find", choices=("broke", "fixed"), help="the first bad release, or the first good one (by the ends' order)"
    )
    probe = parser.add_argument_group("the probe: a built-in one, or a command after `--`")
    probe.add_argument("--probe", choices=_ACTIONS, help="what must work (default: merge with an adapter, else load)")
    probe.add_argument("--family", metavar="ID", help="try it on a tiny model of this family, made on the spot")
    probe.add_argument("--adapter", metavar="DIR", help="try it on your own adapter")
    probe.add_argument("--base", metavar="DIR", help="the adapter's base, or a model to try it on")
    probe.add_argument("--expect", metavar="REGEX", help="only a failure that shows this is the one searched for")
    probe.add_argument(
        "--with", dest="held", action="append", default=[], metavar="PIN", help="hold this as well, e.g. torch==2.4.0"
    )
    probe.add_argument(
        "--metric", action="store_true", help="the last number that the command prints is what counts, noise and all"
    )
    probe.add_argument(
        "--threshold", type=float, metavar="X", help="with --metric: the limit (default: halfway between the ends)"
    )
    probe.add_argument(
        "--training", metavar="FOLDER", help="with --metric: the loss of a recorded run's last repeated step counts"
    )
    probe.add_argument("--steps", type=int, metavar="N", help="with --training: how many (default: 20)")
    probe.add_argument("--trust-script", action="store_true", help="with --training: the recorded code may run here")
    probe.add_argument("--timeout", type=float, metavar="S", help="seconds after which a probe is untestable")
    probe.add_argument("--repeatable", action="store_true", help="the command always answers the same: fewer re-runs")
    how = parser.add_argument_group("how")
    add_python(how, "the Python of every probe")
    how.add_argument("--pre", action="store_true", help="try pre-releases as well")
    how.add_argument("--yanked", action="store_true", help="try yanked releases as well")
    how.add_argument("-j", "--jobs", type=int, default=1, metavar="N", help="probes at once")
    how.add_argument("--offline", action="store_true", help="use only what is cached")
    how.add_argument("--no-cache", action="store_true", help="run probes even where their outcome is known")
    how.add_argument("--no-prior", action="store_true", help="do not look into wheels first")
    how.add_argument("--no-prefetch", action="store_true", help="do not build the next environments meanwhile")
    how.add_argument("--html", metavar="FILE", help="write the report as a page")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the search or the verb that was asked for; what stops a search says that it can go on."""
    from envpin.core.errors import InfrastructureError, InterruptedByUserError

    hint = "run the same command again: it goes on, and repeats no finished probe"
    try:
        return _run(args, console)
    except KeyboardInterrupt as stop:
        raise InterruptedByUserError(hint=hint) from stop
    except InfrastructureError as trouble:
        trouble.hint = trouble.hint or hint
        raise


def _run(args: argparse.Namespace, console: Console) -> int:
    if args.package in _VERBS:
        from envpin.cli.commands import bisect_manage

        return bisect_manage.run(args, console)
    if args.package is None:
        from envpin.cli.commands import bisect_envs

        return bisect_envs.run(args, console)
    from envpin.cli.commands import bisect_run

    return bisect_run.package(args, console)
