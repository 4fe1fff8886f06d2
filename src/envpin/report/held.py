"""A manifest held against the folder that it lies in: which of its checkable fields the bytes confirm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from envpin.checkpoint.base_weights import compare_base
from envpin.checkpoint.bases import find_base
from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core.errors import EnvpinError
from envpin.core.files import digest_of_file
from envpin.core.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.manifest.types import Manifest

HeldState = Literal["equal", "differs", "missing", "not compared", "not recorded"]


class HeldField(NamedTuple):
    """A checkable field, what became of the comparison, and why it was none or what differs."""

    what: str
    state: HeldState
    detail: str = ""


def hold(manifest: Manifest, folder: Path) -> tuple[HeldField, ...]:
    """Read the files of `folder` and compare. The weights of the base are not read: samples, or what the Hub tells.

    Raises:
        InputError: the folder cannot be read.
    """
    checkpoint = open_checkpoint(folder)
    return (
        *_files(manifest.saved.files if manifest.saved else {}, folder, "saved.files"),
        *_undigested(manifest),
        _config(manifest, checkpoint),
        _tensors(manifest, checkpoint),
        *_tokenizer(manifest, folder),
        _rows(manifest, checkpoint),
        _base(manifest, checkpoint),
    )


def _files(recorded: Mapping[str, str], folder: Path, what: str) -> Iterator[HeldField]:
    for name, wanted in sorted(recorded.items()):
        where = f"{what}.{name}"
        try:
            found = digest_of_file(folder / name)
        except FileNotFoundError:
            yield HeldField(where, "missing", "the file is not there")
        except OSError as error:
            yield HeldField(where, "not compared", f"it cannot be read: {error.strerror}")
        else:
            yield HeldField(
                where, "equal" if found == wanted else "differs", "" if found == wanted else f"it is {found}"
            )


def _undigested(manifest: Manifest) -> Iterator[HeldField]:
    for name, why in sorted((manifest.saved.undigested if manifest.saved else {}).items()):
        yield HeldField(f"saved.files.{name}", "not recorded", why)


def _config(manifest: Manifest, checkpoint: Checkpoint) -> HeldField:
    recorded = manifest.saved.config if manifest.saved else None
    if recorded is None:
        return HeldField("saved.config", "not recorded")
    found = checkpoint.adapter_config if manifest.saved and manifest.saved.kind == "adapter" else checkpoint.config
    if found is None:
        return HeldField("saved.config", "missing", "the folder has no such config")
    keys = sorted(key for key in recorded.keys() | found.keys() if _plain(recorded.get(key)) != _plain(found.get(key)))
    return HeldField("saved.config", "differs", ", ".join(keys)) if keys else HeldField("saved.config", "equal")


def _plain(value: object) -> object:
    """peft writes sets as lists, in any order."""
    return sorted(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


def _tensors(manifest: Manifest, checkpoint: Checkpoint) -> HeldField:
    saved = manifest.saved
    if saved is None or not saved.tensors:
        return HeldField("saved.tensors", "not recorded")
    known = {one.name: (tuple(one.shape), one.dtype) for one in checkpoint.tensors.values()}
    wrong = [one.name for one in saved.tensors if known.get(one.name) != (one.shape, one.dtype)]
    if wrong:
        return HeldField("saved.tensors", "differs", f"{len(wrong)} of {len(saved.tensors)}: {', '.join(wrong[:3])}")
    left = f"; {saved.tensors_left_out} were not listed" if saved.tensors_left_out else ""
    return HeldField("saved.tensors", "equal", f"{counted(len(saved.tensors), 'name')}, shapes and dtypes{left}")


def _tokenizer(manifest: Manifest, folder: Path) -> Iterator[HeldField]:
    tokenizer = manifest.tokenizer
    if tokenizer is None:
        yield HeldField("tokenizer", "not recorded")
    elif tokenizer.source != "saved":
        yield HeldField("tokenizer.files", "not compared", "the tokenizer was not saved here")
    else:
        yield from _files(tokenizer.files, folder, "tokenizer.files")


def _rows(manifest: Manifest, checkpoint: Checkpoint) -> HeldField:
    """The rows of the embedding are only in the files where the adapter carries them."""
    resized = [one.rows_after for one in manifest.resizes if one.rows_after is not None]
    if not resized:
        return HeldField("resizes", "not recorded", "the vocabulary was not resized, or nobody saw it")
    rows = checkpoint.embedding_rows
    if rows is None:
        return HeldField("resizes", "not compared", "the folder holds no embedding")
    state: HeldState = "equal" if rows == resized[-1] else "differs"
    return HeldField("resizes", state, f"the folder's embedding has {counted(rows, 'row')}")


def _base(manifest: Manifest, checkpoint: Checkpoint) -> HeldField:
    if manifest.base is None:
        return HeldField("base weights", "not recorded")
    if manifest.saved is not None and manifest.saved.kind == "model":
        return HeldField("base weights", "not compared", "a saved model names no base")
    try:
        found = find_base(checkpoint)
        compared = compare_base(manifest.base, found)
    except (EnvpinError, OSError) as error:
        message = error.message if isinstance(error, EnvpinError) else str(error)
        return HeldField("base weights", "not compared", message.partition("\n")[0])
    words = f"{compared.words}; the base is {found.path}"
    states: dict[str, HeldState] = {"equal": "equal", "differ": "differs", "not recorded": "not recorded"}
    return HeldField("base weights", states.get(compared.state, "not compared"), words)
