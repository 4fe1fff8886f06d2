"""`envpin run REF -- CMD…`: a command inside a pinned environment, as if that environment were activated."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from envpin.cli.commands.env_arguments import (
    REF_HELP,
    add_build_arguments,
    add_training,
    max_download,
    resolver_of,
    spec_of,
)
from envpin.core.command_text import command_text

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.envs.store.environment import Environment

takes_child = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "envpin run [options] REF -- CMD…"
    parser.epilog = (
        "CMD has the environment's scripts first on PATH and none of the variables that would leak another Python "
        "into it; stdin, stdout, the terminal and signals are its own, and its exit status is returned. `--json` only "
        "shapes errors that happen before CMD starts: stdout belongs to CMD."
    )
    parser.add_argument("ref", metavar="REF", help=REF_HELP)
    add_build_arguments(parser)
    add_training(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    from envpin.core import process
    from envpin.core.errors import UsageError
    from envpin.recording.injected import recorder_variables

    if not args.child:
        raise UsageError("no command was given", hint=command_text("envpin", "run", args.ref, "--", "python"))
    environment = _environment(args, console)
    # Under `envpin record` the recorder goes along, though PYTHONPATH does not.
    variables = {**environment.activated(), **recorder_variables(os.environ)}
    status = process.run_attached(args.child, env=variables)
    if status == 1 and not args.training:
        _tell_of_training(args.ref, console)
    return status


def _tell_of_training(ref: str, console: Console) -> None:
    """What failed may have missed a package that only training needs."""
    from envpin.core.errors import EnvpinError
    from envpin.envs.refs.reference import AdapterReference, parse_reference

    try:
        recorded = isinstance(parse_reference(ref), AdapterReference)
    except EnvpinError:
        return
    if recorded:
        console.talk(
            "this environment holds what a merge needs; all that was recorded: "
            f"{command_text('envpin', 'run', ref, '--training', '--')} …"
        )


def _environment(args: argparse.Namespace, console: Console) -> Environment:
    from envpin.envs.store.store import Store

    listener = console.listener()
    store = Store()
    spec = spec_of(args, resolver_of(args, listener), store)
    ready = store.find(spec)
    # A ready environment goes without saying: the command's own output should be all that is seen.
    environment = (
        store.ensure(spec, listener=listener, offline=args.offline, max_download=max_download(args))
        if ready is None
        else store.use(ready)
    )
    console.close()
    return environment
