"""Hold a merged model against the record of its merge: which file, and which tensor in it, is no longer what was
proved.

No torch: files are hashed, and only in a changed file are tensors looked at, by the checksums that the merge recorded.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import msgspec

from envpin.core.command_text import command_text
from envpin.core.errors import InputError
from envpin.core.files import digest_of_file, exists, is_folder, open_regular, read_bounded
from envpin.core.sizes import counted
from envpin.core.typed_json import NOT_OF_ITS_SHAPE
from envpin.replay.record import FILE_NAME, SCHEMA, MergeRecord, decode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BLOCK = 1 << 22
# As the engine `stream` writes them: `envpin/workers/stream/prove/checksum.py`.
_SUMS = "sums64k:"
_SUMMED = 1 << 16
# Not part of what was merged: people edit model cards and other tools leave their own files.
_FOREIGN = (".md", ".gitattributes", ".lock")
# What transformers, peft and their like look for in a folder: an adapter next to a model is loaded on top of it.
_READ_BY_LOADERS = (".safetensors", ".bin", ".json", ".py", ".jinja", ".model", ".pt", ".pth", ".ckpt", ".h5",
                    ".msgpack", ".gguf", ".pkl", ".index")  # fmt: skip
_TEXTS_OF_TOKENIZERS = frozenset({"vocab.txt", "merges.txt"})
_OF_ENVPIN = frozenset({"envpin.json"})
_FOLDERS_OF_LOADERS = frozenset({"additional_chat_templates"})
_DIGITS = frozenset("0123456789abcdef")
# The largest models have some hundred shards, and a hundred thousand tensors.
_MOST_FILES = 20_000
_LARGEST = 1 << 62  # bytes: what a file can have


class FileDifference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file that is not as recorded. `what` is `missing`, `changed` or `added`; `tensors` names those that changed,
    or is empty where the header itself did, or where the merge recorded no checksums. `loaded` says of an added one
    that what loads the model may read it."""

    file: str
    what: str
    detail: str
    tensors: tuple[str, ...] = ()
    loaded: bool = False


class Reverified(msgspec.Struct, frozen=True, kw_only=True):
    record: MergeRecord
    files: int
    size: int
    differences: tuple[FileDifference, ...]

    @property
    def intact(self) -> bool:
        """Whether every recorded file still is what it was, and nothing came that is loaded with them. A record that
        lists no weights proves nothing about them."""
        return self.lists_weights and not any(one.what != "added" or one.loaded for one in self.differences)

    @property
    def lists_weights(self) -> bool:
        """Whether the record names any file of weights."""
        return any(name.endswith(".safetensors") for name in self.record.files)


def refuse_no_folder(folder: Path) -> None:
    """
    Raises:
        InputError: nothing of that name is there, or it is a file.
    """
    if not is_folder(folder):
        raise InputError(f"`{folder}` {'is a file, not a folder' if exists(folder) else 'does not exist'}", path=folder)


def read_record(folder: Path, *, name: str = FILE_NAME) -> MergeRecord:
    """The record of the merge in `folder`.

    Raises:
        InputError: `folder` has no readable record of a merge, or one of a schema that this envpin does not know.
    """
    path = folder / name
    try:
        data = read_bounded(path, _RECORD_BYTES)
    except OSError as error:
        refuse_no_folder(folder)
        raise InputError(
            f"`{folder}` has no {name}: {error.strerror}",
            path=path,
            hint=f"only merges made by envpin carry one; any other: "
            f"{command_text('envpin', 'prove', 'BASE', 'ADAPTER', folder)}",
        ) from error
    try:
        schema = msgspec.json.decode(data, type=_OnlySchema).schema
        if schema != SCHEMA:
            raise InputError(f"`{path}` has schema {schema}, and this envpin knows {SCHEMA}", path=path)
        record = decode(data)
    except NOT_OF_ITS_SHAPE as error:
        raise InputError(f"`{path}` is not the record of a merge: {error}", path=path) from error
    problems = _problems(record)
    if problems:
        raise InputError(f"`{path}` is not the record of a merge", path=path, problems=problems[:_PROBLEMS_SHOWN])
    return record


_PROBLEMS_SHOWN = 8


def _problems(record: MergeRecord) -> list[str]:
    """What no merge writes: a name that is not one of a file in the folder, a checksum that is none."""
    if len(record.files) > _MOST_FILES:
        return [f"files: {len(record.files):,}, more than a model has"]
    found = [f"files: `{name[:80]}` is outside its folder" for name in record.files if not _is_inside(name)]
    found += [
        f"files.{name[:80]}: no sha256"
        for name, value in record.files.items()
        if len(value) != 64 or set(value) - _DIGITS
    ]
    tensors = record.merge.get("tensors")
    if tensors is not None and not isinstance(tensors, dict):
        return [*found, "merge.tensors: no object"]
    return found + [
        f"merge.tensors.{name[:80]}: no checksum" for name, value in (tensors or {}).items() if not _placed(value)
    ]


def _is_inside(name: str) -> bool:
    pieces = PurePath(name)
    plain = (
        name.isprintable()
        and "\\" not in name
        and all(len(part.encode("utf-8", "replace")) < 256 for part in pieces.parts)
    )
    return plain and bool(pieces.parts) and not pieces.is_absolute() and ".." not in pieces.parts


def _placed(value: object) -> bool:
    """Whether this is file, checksum, offset and length."""
    if not isinstance(value, list) or len(value) != 4 or not isinstance(value[0], str):
        return False
    numbers = value[2:] if _is_sums(value[1]) else value[1:]
    return all(type(one) is int and 0 <= one < _LARGEST for one in numbers)


def _is_sums(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(rf"{_SUMS}[0-9a-f]{{8}}", value) is not None


# One entry for each tensor and file: some 20 MB for the largest models.
_RECORD_BYTES = 64_000_000


class _OnlySchema(msgspec.Struct):
    schema: int


def reverify(folder: Path, progress: Callable[[int], None] | None = None, *, name: str = FILE_NAME) -> Reverified:
    """Hash every recorded file of `folder`. `progress` gets the bytes of each block.

    Raises:
        InputError: see `read_record`; or a recorded name leads out of the folder, or a file cannot be read.
    """
    record = read_record(folder, name=name)
    differences: list[FileDifference] = []
    size = 0
    for file, wanted in sorted(record.files.items()):
        path = folder / file
        if not path.is_file():
            differences.append(FileDifference(file=file, what="missing", detail="the file is not there"))
            continue
        size += path.stat().st_size
        try:
            found = digest_of_file(path, progress)
        except OSError as error:
            raise InputError(f"`{path}` cannot be read: {error.strerror}", path=path) from error
        if found != wanted:
            differences.append(_explain(path, file, record))
    differences += [
        _added(path)
        for path in sorted(folder.iterdir())
        if path.name not in record.files
        and path.name not in {FILE_NAME, name}
        and path.suffix not in _FOREIGN
        and not any(file.startswith(path.name + "/") for file in record.files)
    ]
    return Reverified(record=record, files=len(record.files), size=size, differences=tuple(differences))


def _added(path: Path) -> FileDifference:
    name = path.name.lower()
    loaded = (name.endswith(_READ_BY_LOADERS) or name in _TEXTS_OF_TOKENIZERS or name in _FOLDERS_OF_LOADERS) and (
        name not in _OF_ENVPIN
    )
    detail = "the merge did not write it" + (", and what loads the model may read it" if loaded else "")
    return FileDifference(file=path.name, what="added", detail=detail, loaded=loaded)


def _explain(path: Path, name: str, record: MergeRecord) -> FileDifference:
    checksums: dict[str, Any] = record.merge.get("tensors") or {}
    if not name.endswith(".safetensors") or not checksums:
        return FileDifference(file=name, what="changed", detail="its digest is not the recorded one")
    own = {tensor: value for tensor, value in checksums.items() if value[0] == name}
    size = path.stat().st_size
    planned = max((offset + length for _, _, offset, length in own.values()), default=0)
    changed = tuple(
        tensor
        for tensor, (_, checksum, offset, length) in sorted(own.items())
        if _checksum(path, offset, length, of_sums=_is_sums(checksum)) != checksum
    )
    if size != planned:
        detail = f"it has {counted(size, 'byte')}, and had {planned}"
    elif changed:
        detail = f"{len(changed)} of its {counted(len(own), 'tensor')} changed"
    elif any(_is_sums(value[1]) for value in own.values()):
        detail = "no tensor's checksum is another: its header changed, or values within a tensor changed places"
    else:
        detail = f"its header changed ({counted(_header_length(path), 'byte')}), its tensors did not"
    return FileDifference(file=name, what="changed", detail=detail, tensors=changed)


def _checksum(path: Path, offset: int, length: int, *, of_sums: bool) -> int | str:
    """What a merge writes of these bytes, or an earlier one wrote: their CRC-32."""
    checksum, left = 0, length
    with open_regular(path) as stream:
        stream.seek(offset)
        while left and (block := stream.read(min(left, _BLOCK))):
            checksum = zlib.crc32(_sums(block) if of_sums else block, checksum)
            left -= len(block)
    if left:
        return -1
    return f"{_SUMS}{checksum:08x}" if of_sums else checksum


def _sums(data: bytes) -> bytes:
    words = memoryview(data + bytes(-len(data) % 8)).cast("Q")
    sums = (sum(words[at : at + _SUMMED // 8]) % 2**64 for at in range(0, len(words), _SUMMED // 8))
    return b"".join(one.to_bytes(8, "little") for one in sums)


def _header_length(path: Path) -> int:
    with open_regular(path) as stream:
        start = stream.read(8)
    return int(struct.unpack("<Q", start)[0]) if len(start) == 8 else 0
