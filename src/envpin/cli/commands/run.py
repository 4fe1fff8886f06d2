"""`envpin run REF -- CMD…`: a command inside a pinned environment, as if that environment were activated."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from envpin.cli.commands.env import REF_HELP, add_build_arguments, max_download, resolver_of

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


def run(args: argparse.Namespace, console: Console) -> int:
    from envpin.core import process
    from envpin.core.errors import UsageError

    if not args.child:
        raise UsageError("no command was given", hint=f"envpin run {args.ref} -- python")
    environment = _environment(args, console)
    return process.run_attached(args.child, env=activated(environment))


def activated(environment: Environment) -> dict[str, str]:
    """The caller's variables, with the scripts of `environment` first on PATH and no other Python leaking in.

    VIRTUAL_ENV stays unset: it would invite installers to change an environment that is shared by its key.
    """
    path = os.pathsep.join([str(environment.scripts), os.environ.get("PATH", os.defpath)])
    from envpin.core import process

    return process.scrubbed_environment(set_values={"PATH": path})


def _environment(args: argparse.Namespace, console: Console) -> Environment:
    from envpin.envs.refs.resolve import resolve
    from envpin.envs.store.store import Store

    listener = console.listener()
    spec = resolve(args.ref, resolver_of(args, listener))
    store = Store()
    ready = store.find(spec)
    # A ready environment goes without saying: the command's own output should be all that is seen.
    environment = (
        store.ensure(spec, listener=listener, offline=args.offline, max_download=max_download(args))
        if ready is None
        else store.use(ready)
    )
    console.close()
    return environment
