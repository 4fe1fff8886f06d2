"""`envpin replay train FOLDER`: repeat a recorded training run, and say whether and where it parted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.cli.console.width import fitted
from envpin.core.errors import InputError, UsageError

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.core.events import Listener
    from envpin.envs.store.environment import Environment
    from envpin.manifest.types import Manifest

SCHEMA = 1


def add_train(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of `replay train`."""
    train = verbs.add_parser(
        "train",
        help="repeat a recorded training run, and say where it parted",
        description="Restore the recorded code, build the environment that the run was trained in, run its command "
        "again with its output below OUT, and compare adapter and trace: identical, equivalent (within the noise of a "
        "second repeat), or diverged, with the first step that differs and its cause. A command after `--` is run "
        "instead of the recorded one.",
    )
    train.add_argument("folder", type=Path, metavar="FOLDER", help="what the run saved, with its envpin.json")
    train.add_argument("-o", "--output", type=Path, metavar="OUT", help="the folder to make (default: FOLDER-replay)")
    train.add_argument("--steps", type=int, metavar="N", help="end after step N, and compare up to there")
    train.add_argument("--once", action="store_true", help="do not repeat the repeat to measure its noise")
    train.add_argument("--source", type=Path, metavar="DIR", help="a folder with the code, not the recorded commit")
    train.add_argument("--trust-script", action="store_true", help="the recorded code may run on this machine")
    train.add_argument("--force", action="store_true", help="repeat it though the base or the data has changed")
    train.add_argument(
        "--environment", metavar="REF", help="another environment than the recorded one; `active`: the one that is"
    )
    train.add_argument("--print-loss", action="store_true", help="print the loss of the last step, and keep nothing")
    train.add_argument("--skip", action="store_true", help="leave out packages that cannot be rebuilt, and name them")
    train.add_argument("--offline", action="store_true", help="use what is on this machine only")
    train.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run_train(args: argparse.Namespace, console: Console) -> int:
    """0: identical or equivalent. 1: diverged, or not comparable."""
    from envpin.envs.refs.training import training_manifest
    from envpin.manifest.read import FILE_NAME
    from envpin.replay.publish import refuse_existing, refuse_within
    from envpin.replay.training.run import TrainOptions, command_of, last_loss, refuse_untrusted, replay_training

    if args.steps is not None and args.steps < 1:
        raise UsageError("--steps takes a number above 0")
    folder: Path = args.folder.parent if args.folder.name == FILE_NAME else args.folder
    manifest = training_manifest(folder)
    out: Path = args.output or folder.absolute().parent / f"{folder.resolve().name}-replay"
    if args.print_loss and args.output is not None:
        raise UsageError("--print-loss keeps nothing: leave out -o")
    if not args.print_loss:
        refuse_existing(out)
        refuse_within(out, [folder])
    options = TrainOptions(steps=args.steps, once=args.once, source=args.source, command=tuple(args.child),
                           trust_script=args.trust_script, force=args.force)  # fmt: skip
    command_of(manifest, options)
    refuse_untrusted(manifest, options)
    listener = console.listener()
    environment = _environment(args, manifest, folder, listener)
    if args.print_loss:
        loss = last_loss(folder, manifest, environment, options=options, listener=listener)
        console.close()
        console.data(repr(loss))
        return 0
    done = replay_training(folder, manifest, environment, out, options=options, listener=listener)
    console.close()
    if console.json_mode:
        import msgspec

        console.document(SCHEMA, {"out": str(done.out), "code": done.code, "command": list(done.command),
                                  "replay": msgspec.to_builtins(done.judgement)})  # fmt: skip
    else:
        from envpin.cli.render.training import judgement_lines

        lines = [f"repeated    {done.out}", *judgement_lines(done.judgement)]
        console.data(fitted(lines, indent=12))
    return 0 if done.judgement.verdict in {"identical", "equivalent"} else 1


def _environment(args: argparse.Namespace, manifest: Manifest, folder: Path, listener: Listener) -> Environment:
    """The environment to repeat in: the recorded one, that of `--environment REF`, or the active one as it is."""
    from envpin.envs.refs.adapter import adapter_name
    from envpin.envs.refs.pins import Resolver
    from envpin.envs.refs.resolve import resolve
    from envpin.envs.refs.training import resolve_training
    from envpin.envs.store.environment import Environment
    from envpin.envs.store.store import Store
    from envpin.envs.uv.command import interpreter_of

    if args.environment == "active":
        active = os.environ.get("VIRTUAL_ENV")
        if not active:
            raise InputError("no environment is active: VIRTUAL_ENV is not set", hint="--environment REF")
        return Environment(path=Path(active), python=interpreter_of(Path(active)), key="")
    store = Store()
    resolver = Resolver(listener=listener, offline=args.offline)
    if args.environment is not None:
        spec = resolve(args.environment, resolver)
    else:
        spec, _ = resolve_training(manifest, resolver, store, name=adapter_name(folder), skip=args.skip)
    return store.ensure(spec, listener=listener, offline=args.offline)
