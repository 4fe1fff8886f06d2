"""`envpin card PATH`: write envpin's section and metadata into the model card of a merged model or an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text

if TYPE_CHECKING:
    import argparse

    from envpin.cli.console.console import Console
    from envpin.report.card import CardPart

takes_child = False
_LARGEST = 4_000_000  # bytes of a card that is read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", type=Path, help="a merged model, or a recorded adapter")
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the card, write nothing")
    parser.epilog = (
        "The section is written between two markers in PATH/README.md; nothing outside of them changes, except that "
        "metadata which is missing is added. Refused where the files are not those of the record."
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Exit status 0: the card says what the record says."""
    from envpin.core.errors import InputError
    from envpin.core.files import write_atomically
    from envpin.report.card import FILE_NAME, update_card

    part = part_of(args.path, console)
    target = args.path / FILE_NAME
    before = read_card(target)
    updated = update_card(before, part)
    console.close()
    for key in updated.kept:
        console.warn(f"the card's `{key}` says something else, and was left as it is")
    if args.only_print:
        if console.json_mode:
            console.document(1, {"file": None, "text": updated.text, "kept": list(updated.kept)})
        else:
            console.data(updated.text)
        return 0
    changed = updated.text != before
    if changed:
        try:
            write_atomically(target, updated.text)
        except OSError as error:
            raise InputError(f"`{target}` cannot be written: {error.strerror}", path=target) from error
    if console.json_mode:
        console.document(1, {"file": str(target), "changed": changed, "kept": list(updated.kept)})
    else:
        console.data(f"wrote {target}" if changed else f"unchanged: {target} says it already")
    return 0


def part_of(folder: Path, console: Console) -> CardPart:
    """What the card of `folder` is to say, once its bytes are those of the record.

    Raises:
        InputError: the folder holds no record.
        RefusedError: its files are not those of the record.
    """
    from envpin.core.errors import RefusedError
    from envpin.manifest.read import read_manifest
    from envpin.replay.proved import refuse_unproved
    from envpin.replay.reverify import refuse_no_folder
    from envpin.report.card import manifest_part, merge_part
    from envpin.report.held import hold
    from envpin.report.subject import find_subject

    refuse_no_folder(folder)
    subject = find_subject(folder)
    name = folder.absolute().name
    if subject.kind == "merge":
        from envpin.cli.commands.verify import read_back

        found = read_back(folder, console)
        refuse_unproved(found, folder)
        return merge_part(found.record, name=name)
    manifest = read_manifest(subject.file)
    wrong = [one for one in hold(manifest, folder) if one.state in {"differs", "missing"}]
    if wrong:
        listed = "\n".join(f"  {one.what}: {one.detail or one.state}" for one in wrong[:5])
        hint = command_text("envpin", "report", folder)
        raise RefusedError(f"`{folder}` is not what its envpin.json records\n{listed}", hint=hint)
    return manifest_part(manifest, name=name)


def read_card(target: Path) -> str | None:
    """The text of a card, its line ends as they are; None where there is none.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    from envpin.core.errors import InputError
    from envpin.core.files import read_bounded

    try:
        return read_bounded(target, _LARGEST).decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"`{target}` cannot be read: {error.strerror}", path=target) from error
    except UnicodeDecodeError as error:
        raise InputError(f"`{target}` is not UTF-8: {error.reason}", path=target) from error
