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
    from envpin.cli.console.findings import wrapped
    from envpin.core.scratch import scratch
    from envpin.demo.story import tell
    from envpin.envs.store.store import Store
    from envpin.replay.publish import refuse_existing

    if args.folder is not None:
        refuse_existing(args.folder, named="FOLDER")
    with scratch("demo") as temporary:
        folder = args.folder or temporary
        store = Store()
        told = tell(folder.absolute(), store, say=lambda text: console.talk(wrapped(text)), listener=console.listener())
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
        console.talk(wrapped(_ending(folder, store.root, told.comparison, kept=args.folder is not None)))
    return 0


def _ending(folder: Path, store: Path, comparison: str, *, kept: bool) -> str:
    """What was shown, what to do with an adapter of one's own, and how to get the disk back."""
    made = f"in {folder}: base, adapter, merged" if kept else "removed; `envpin demo FOLDER` keeps it"
    return f"""
What was shown: the plain merge fails in the very environment that trained the adapter; from the record next to it the
environment and the grown vocabulary are rebuilt, and the merge is held against an expert's: {comparison}.

Your own adapter:
  envpin record -- python train.py            # at the next training
  envpin check ADAPTER                        # one that was never recorded: will it merge?
  envpin replay merge ADAPTER -o MERGED       # merge it, and prove the result
What the demo made is {made}.
The environment stays in {store} for the next merge; to free the disk:
  envpin env prune --all"""
