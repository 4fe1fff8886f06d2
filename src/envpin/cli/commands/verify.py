"""`envpin verify MERGED`: is a merged model still, byte for byte, what its merge proved?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.events import Progress, Step
from envpin.core.sizes import counted, size_words, verb
from envpin.replay.record import FILE_NAME
from envpin.replay.reverify import read_record, reverify

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.replay.reverify import Reverified

takes_child = False
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("merged", metavar="MERGED", type=Path, help="a folder that `envpin replay merge` wrote")


def run(args: argparse.Namespace, console: Console) -> int:
    """Exit status 0: nothing changed. 1: something did, and it is named; or the record lists no weights at all."""
    found = read_back(args.merged, console)
    _report(found, args.merged, console)
    return 0 if found.intact else 1


def read_back(folder: Path, console: Console, *, name: str = FILE_NAME) -> Reverified:
    """Every recorded file of `folder` hashed, with progress. `name` is the file of the record.

    Raises:
        InputError: there is no readable record, or a file cannot be read.
    """
    title = f"read {folder} back"
    files = read_record(folder, name=name).files
    total = sum(path.stat().st_size for one in files if (path := folder / one).is_file())
    listener = console.listener()
    listener(Step(key="verify", title=title))
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        listener(Progress(key="verify", done=done, total=total))

    found = reverify(folder, progress, name=name)
    detail = f"{counted(found.files, 'file')}, {size_words(found.size)}"
    listener(Step(key="verify", title=title, state="done" if found.intact else "failed", detail=detail))
    return found


def _report(found: Reverified, folder: Path, console: Console) -> None:
    if console.json_mode:
        console.document(
            1,
            {
                "merged": str(folder),
                "intact": found.intact,
                "lists_weights": found.lists_weights,
                "files": found.files,
                "bytes": found.size,
                "inputs_digest": found.record.inputs_digest,
                "engine": found.record.engine,
                "differences": [
                    {
                        "file": one.file,
                        "what": one.what,
                        "detail": one.detail,
                        "tensors": list(one.tensors),
                        "loaded": one.loaded,
                    }
                    for one in found.differences
                ],
            },
        )
        return
    for one in found.differences:
        console.data(f"{one.what}: {one.file}: {one.detail}")
        for tensor in one.tensors[:_SHOWN]:
            console.data(f"  {tensor}")
        if len(one.tensors) > _SHOWN:
            console.data(f"  and {len(one.tensors) - _SHOWN} more")
    if not found.lists_weights:
        console.data(f"not verified: {FILE_NAME} lists no weights, so nothing is known about those that are here")
    if found.intact:
        files = f"{counted(found.files, 'file')} {verb(found.files, 'is', 'are')}"
        console.data(f"intact: {files} what the merge of {found.record.created} proved")
