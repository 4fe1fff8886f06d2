"""`envpin demo`: the whole story on a tiny real model, narrated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console

takes_child = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="keep what is made here (default: a temporary folder)"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    from envpin.core.scratch import scratch
    from envpin.demo.story import tell
    from envpin.envs.store.store import Store
    from envpin.replay.publish import refuse_existing

    if args.folder is not None:
        refuse_existing(args.folder)
    with scratch("demo") as temporary:
        folder = args.folder or temporary
        told = tell(folder.absolute(), Store(), say=console.talk, listener=console.listener())
        console.close()
        probe = told.merged.record.verification["probe"]
        if console.json_mode:
            import msgspec

            console.document(
                1,
                {
                    "plain_error": told.plain_error,
                    "comparison": told.comparison,
                    "merge": msgspec.to_builtins(told.merged.record),
                },
            )
        else:
            console.data(
                f"verdict     {told.merged.record.verdict.kind}\n"
                f"outputs     off by {probe['ratio']:.2g} of what the adapter moves\n"
                f"by hand     {told.comparison}"
            )
        if args.folder is not None:
            console.talk(f"kept in `{args.folder}`")
    return 0
