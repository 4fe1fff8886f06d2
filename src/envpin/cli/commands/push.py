"""`envpin push MERGED user/name`: upload a merged model with its card and its proof, and nothing that is not proved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.remote.hub.upload import UploadFile
    from envpin.replay.reverify import Reverified

takes_child = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("merged", metavar="MERGED", type=Path, help="a folder that `envpin replay merge` wrote")
    parser.add_argument("repository", metavar="user/name", help="the repository on the Hub; made where it is missing")
    parser.add_argument("--private", action="store_true", help="make it private, where it has to be made")
    parser.add_argument("--revision", metavar="BRANCH", help="commit to this branch; made where it is missing")
    parser.add_argument("--message", metavar="TEXT", help="the message of the commit")
    parser.add_argument("--dry-run", action="store_true", help="check everything, list the files, upload nothing")
    parser.epilog = (
        "Uploads the files that the merge proved, README.md with envpin's section, and envpin-merge.json without this "
        "machine's paths; nothing else of the folder. Refused where the merge was forced, or a byte is not what it "
        "proved. Token and Hub are those of huggingface_hub (`hf auth login`, HF_TOKEN, HF_ENDPOINT)."
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Exit status 0: it is on the Hub, or would be. 5: refused."""
    from envpin.cli.commands.verify import read_back
    from envpin.core.errors import RefusedError
    from envpin.core.files import exists
    from envpin.remote.hub.upload import refuse_bad_name, upload
    from envpin.replay.proved import refuse_unproved
    from envpin.replay.record import FILE_NAME
    from envpin.replay.reverify import refuse_no_folder

    refuse_bad_name(args.repository)
    refuse_no_folder(args.merged)
    if not exists(args.merged / FILE_NAME):
        raise RefusedError(
            f"`{args.merged}` has no {FILE_NAME}: nothing was proved of it",
            hint="only what `envpin replay merge` made is pushed; envpin prove BASE ADAPTER MERGED looks at any other",
        )
    found = read_back(args.merged, console)
    refuse_unproved(found, args.merged)
    files = _files(args.merged, found, console)
    if args.dry_run:
        console.close()
        _answer(args, files, None, console)
        return 0
    message = args.message or f"Merge {found.record.inputs_digest}, checked by envpin {found.record.envpin}"
    done = upload(args.repository, files, message=message, private=args.private, revision=args.revision,
                  listener=console.listener())  # fmt: skip
    console.close()
    _answer(args, files, done.url, console)
    return 0


def _files(folder: Path, found: Reverified, console: Console) -> list[UploadFile]:
    from envpin.cli.commands.card import read_card
    from envpin.remote.hub.upload import UploadFile
    from envpin.replay.record import FILE_NAME, encode
    from envpin.report.card import FILE_NAME as CARD
    from envpin.report.card import merge_part, update_card, without_paths

    updated = update_card(read_card(folder / CARD), merge_part(found.record, name=folder.absolute().name))
    for key in updated.kept:
        console.warn(f"the card's `{key}` says something else, and was left as it is")
    proved = [UploadFile(name, folder / name, digest) for name, digest in sorted(found.record.files.items())]
    return [
        *(one for one in proved if one.name != CARD),
        UploadFile(CARD, updated.text.encode()),
        UploadFile(FILE_NAME, encode(without_paths(found.record))),
    ]


def _answer(args: argparse.Namespace, files: list[UploadFile], url: str | None, console: Console) -> None:
    from envpin.core.sizes import counted

    if console.json_mode:
        console.document(1, {"repository": args.repository, "files": [one.name for one in files], "commit_url": url})
    elif url is None:
        console.data(f"would upload {counted(len(files), 'file')} to {args.repository}")
        console.data("\n".join(f"  {one.name}" for one in files))
    else:
        console.data(f"pushed {counted(len(files), 'file')}: {url}")
