"""`envpin jupyter install|list|remove`: kernels of Jupyter that are recorded without having envpin in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console

takes_child = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", dest="verb", required=True)
    install = verbs.add_parser(
        "install",
        help="write a kernel that runs under `envpin record`",
        description="Write the kernel NAME-recorded: the kernel NAME, or one of --python, under `envpin record`. The "
        "training environment needs no envpin.",
    )
    install.add_argument("--kernel", required=True, metavar="NAME", help="as `envpin jupyter list` names it")
    install.add_argument("--python", type=Path, metavar="PATH", help="an interpreter with ipykernel, for a kernel")
    install.add_argument("--force", action="store_true", help="replace a kernel of that name that is not envpin's")
    listed = verbs.add_parser(
        "list",
        help="the kernels that Jupyter finds",
        description="The kernels that Jupyter finds, and which are recorded.",
    )
    remove = verbs.add_parser(
        "remove",
        help="remove a recorded kernel",
        description="Remove what `install` wrote.",
    )
    remove.add_argument("--kernel", required=True, metavar="NAME", help="the kernel that was given to `install`")
    for verb in (install, listed, remove):
        verb.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace, console: Console) -> int:
    from envpin.recording.kernels import install, kernels, remove

    if args.verb == "install":
        made = install(args.kernel, python=args.python, env=os.environ, overwrite=args.force)
        if args.json:
            console.document(1, {"kernel": made.name, "folder": str(made.folder), "argv": list(made.argv)})
        else:
            console.data(f"wrote {made.folder}\nchoose `{made.document['display_name']}` in Jupyter")
        return 0
    if args.verb == "remove":
        folder = remove(args.kernel, os.environ)
        if args.json:
            console.document(1, {"removed": str(folder)})
        else:
            console.data(f"removed {folder}")
        return 0
    found = kernels(os.environ)
    if args.json:
        console.document(1, {"kernels": [{"name": one.name, "folder": str(one.folder), "recorded": one.is_recorded}
                                         for one in found.values()]})  # fmt: skip
    else:
        lines = [f"{one.name}{'  recorded' if one.is_recorded else ''}  {one.folder}" for one in found.values()]
        console.data("\n".join(lines) or "no kernels")
    return 0 if found else 1
