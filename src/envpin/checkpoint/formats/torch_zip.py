"""What a file of `torch.save` holds (`.bin`, `.pt`, `.pth`): names, shapes and dtypes of its tensors, never unpickled.

Since torch 1.6 it is a zip of stored members: `<name>/data.pkl`, and `<name>/data/<key>` for each storage. Before, it
was five pickles one after another (magic number, protocol, system, the object, the keys), and then the storages, each
behind its count of elements. Both as torch/serialization.py writes and reads them.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from envpin.checkpoint.formats.pickle import BadPickleError, EndsInsideError, RebuiltTensor, Storage, walk
from envpin.checkpoint.formats.safetensors import BITS, Fault, Header, Tensor, recognise_answer, recognise_foreign
from envpin.core.archive_input import NOT_AN_ARCHIVE
from envpin.core.files import open_file
from envpin.core.range_file import RangeFile
from envpin.core.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpin.checkpoint.formats.pickle import PickleContents
    from envpin.core.place import Place

# The pickle of 15,000 tensors, as many as are read, has some 5 MB, and their zip directory 1 MB.
_PICKLE_LIMIT = 16_000_000
_DIRECTORY_LIMIT = 4_000_000
# A zip's end record is within its last 64 kB and 22 bytes; most files are read in one block.
_BLOCK = 65_536
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DATA = re.compile(r"([^/]{1,200})/data\.pkl")
_DICTS = ("state_dict", "model", "module", "model_state_dict", "adapter_state_dict")


def read_torch_file(path: Place) -> Header:
    """What one file of `torch.save` holds. A broken file gives a header with a fault; nothing is raised for it.

    `start` and `end` of a tensor are where its bytes are, and both 0 where that is not known: of a file on another
    machine, and of a tensor that does not lie in one piece.
    """
    try:
        return _read(path)
    except _BadFileError as error:
        return Header(fault=Fault(error.code, path.name, str(error), error.found))
    except BadPickleError as error:
        return Header(fault=Fault("corrupt-header", path.name, str(error)))
    except OSError as error:
        return Header(fault=Fault("corrupt-header", path.name, f"cannot be read: {error.strerror or error}"))


def _read(path: Place) -> Header:
    with open_file(path) as raw:
        size = path.stat().st_size
        start = raw.read(520)
        foreign = recognise_foreign(start, path.name, size)
        if foreign is not None:
            return Header(fault=foreign)
        if not size:
            raise _BadFileError("truncated-file", "the file is empty", "0 bytes")
        stream = cast("IO[bytes]", raw if _is_local(path) else _in_blocks(raw, size))
        if start.startswith(b"PK"):
            return _zip(path, stream)
        if start.startswith((b"\x80", b"(", b"}", b"]")):
            return _legacy(path, stream, size)
    if (said := recognise_answer(start, path.name, size)) is not None:
        return Header(fault=said)
    raise _BadFileError("corrupt-header", "is neither a zip nor a pickle, as torch writes them")


def _is_local(path: Place) -> bool:
    return isinstance(path, Path) or getattr(path, "is_local", False)


class _BadFileError(ValueError):
    def __init__(self, code: str, message: str, found: str | None = None) -> None:
        super().__init__(message)
        self.code, self.found = code, found


def _zip(path: Place, stream: IO[bytes]) -> Header:
    bounded = _Bounded(stream)
    try:
        with zipfile.ZipFile(cast("IO[bytes]", bounded)) as archive:
            bounded.limit = _PICKLE_LIMIT
            members = _members(archive)
            data = next((one for name, one in members.items() if _DATA.fullmatch(name)), None)
            if data is None:
                script = any(name.endswith("/constants.pkl") for name in members)
                kind = (
                    "a TorchScript program, not weights"
                    if script
                    else "a zip without `data.pkl`: torch did not write it"
                )
                raise _BadFileError("corrupt-header", kind)
            if data.file_size > _PICKLE_LIMIT:
                raise _BadFileError("corrupt-header", f"its pickle has more than {_PICKLE_LIMIT:,} bytes")
            walked = walk(io.BytesIO(archive.read(data)))
    except zipfile.BadZipFile as error:
        text = f"its zip directory cannot be read: {error}"
        code = "truncated-file" if "not a zip file" in str(error) else "corrupt-header"
        raise _BadFileError(code, text) from error
    except EndsInsideError as error:
        raise BadPickleError(f"its `data.pkl` is cut off: {error}") from error
    except NOT_AN_ARCHIVE as error:
        if isinstance(error, (BadPickleError, _BadFileError)):
            raise
        raise _BadFileError("corrupt-header", f"its zip cannot be read: {error or type(error).__name__}") from error
    prefix = data.filename.rpartition("/")[0]
    for storage in walked.storages:
        member = members.get(f"{prefix}/data/{storage.key}")
        wanted = _bytes_of(storage)
        if member is None or (wanted is not None and member.file_size < wanted):
            held = (
                "is not there" if member is None else f"has {counted(member.file_size, 'byte')} instead of {wanted:,}"
            )
            raise _BadFileError("corrupt-header", f"storage `{storage.key[:40]}` {held}")
    begins = _member_starts(stream, members, prefix, walked) if _is_local(path) else {}
    return _header(path, walked, begins)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for one in archive.infolist():
        if one.filename in members:
            raise _BadFileError("corrupt-header", f"`{one.filename[:80]}` stands twice in its zip directory")
        if one.compress_type != zipfile.ZIP_STORED:
            raise _BadFileError("corrupt-header", f"`{one.filename[:80]}` is compressed: torch did not write it")
        members[one.filename] = one
    return members


def _member_starts(
    stream: IO[bytes], members: Mapping[str, zipfile.ZipInfo], prefix: str, walked: PickleContents
) -> dict[str, int]:
    """Where the bytes of each storage begin: behind the member's local header, which torch pads to align them."""
    found: dict[str, int] = {}
    for storage in walked.storages:
        member = members[f"{prefix}/data/{storage.key}"]
        stream.seek(member.header_offset)
        local = stream.read(30)
        if len(local) == 30 and local[:4] == b"PK\x03\x04":
            lengths = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
            found[storage.key] = member.header_offset + 30 + lengths
    return found


def _legacy(path: Place, stream: IO[bytes], size: int) -> Header:
    window = 262_144
    while True:
        stream.seek(0)
        head = io.BytesIO(stream.read(min(window, size)))
        try:
            return _legacy_head(path, head, size)
        except EndsInsideError as error:
            if window >= size:
                raise _BadFileError("truncated-file", f"the file ends inside its pickle: {error}") from error
            if window >= _PICKLE_LIMIT:
                raise BadPickleError(f"its pickle has more than {_PICKLE_LIMIT:,} bytes") from error
            window = min(4 * window, _PICKLE_LIMIT)


def _legacy_head(path: Place, head: IO[bytes], size: int) -> Header:
    first = walk(head)
    if first.value != _MAGIC:
        raise _BadFileError("corrupt-header", "a bare pickle, not a file of torch.save")
    if walk(head).value != _PROTOCOL:
        raise _BadFileError("corrupt-header", "an unknown protocol of torch.save")
    walk(head)
    walked = walk(head)
    keys = walk(head).value
    storages = {storage.key: storage for storage in walked.storages}
    begins: dict[str, int] = {}
    at = head.tell()
    for key in keys if isinstance(keys, list) else []:
        storage = storages.get(key) if isinstance(key, str) else None
        length = _bytes_of(storage) if storage is not None else None
        if length is None:
            return _header(path, walked, {})
        begins[str(key)] = at + 8
        at += 8 + length
    if at > size:
        text = "the file is shorter than its storages"
        return _header(path, walked, {})._replace(
            fault=Fault("truncated-file", path.name, text, counted(size, "byte"), counted(at, "byte"))
        )
    return _header(path, walked, begins)


def _header(path: Place, walked: PickleContents, begins: Mapping[str, int]) -> Header:
    """The tensors of a walked pickle; a name that torch's safe unpickler refuses is a fault."""
    name = path.name
    if walked.names:
        more = f" and {len(walked.names) - 1} more" if len(walked.names) > 1 else ""
        text = f"would import `{walked.names[0]}`{more} when it is unpickled"
        return Header(fault=Fault("pickle-weights", name, text, walked.names[0]))
    if not isinstance(walked.value, dict):
        raise _BadFileError("corrupt-header", "holds no dictionary of tensors")
    tensors: list[Tensor] = []
    for key, value in walked.value.items():
        if isinstance(value, RebuiltTensor):
            problem = _outside(value)
            if problem is not None:
                raise _BadFileError("corrupt-header", f"tensor `{key[:200]}` {problem}")
            tensors.append(Tensor(key, value.shape, value.dtype or "unknown", name, *_span(value, begins)))
    if not tensors:
        inner = next((key for key in _DICTS if isinstance(walked.value.get(key), dict)), None)
        if inner is not None:
            raise _BadFileError("corrupt-header", f"a training checkpoint: its weights are below `{inner}`")
    return Header(tuple(tensors))


def _outside(tensor: RebuiltTensor) -> str | None:
    """What is wrong with a view that leaves its storage."""
    if tensor.storage is None or 0 in tensor.shape or tensor.dtype is None or tensor.storage.dtype != tensor.dtype:
        return None
    if len(tensor.stride) != len(tensor.shape):
        return "has not as many strides as sizes"
    last = tensor.offset + sum((count - 1) * step for count, step in zip(tensor.shape, tensor.stride, strict=True))
    if tensor.offset < 0 or last >= tensor.storage.length:
        return f"reaches beyond its storage of {counted(tensor.storage.length, 'element')}"
    return None


def _span(tensor: RebuiltTensor, begins: Mapping[str, int]) -> tuple[int, int]:
    storage = tensor.storage
    bits = BITS.get(tensor.dtype or "")
    if storage is None or bits is None or storage.key not in begins or tensor.storage is None:
        return (0, 0)
    expected = 1
    for count, step in zip(reversed(tensor.shape), reversed(tensor.stride), strict=False):
        if count != 1 and step != expected:
            return (0, 0)
        expected *= count
    start = begins[storage.key] + tensor.offset * bits // 8
    return (start, start + expected * bits // 8)


def _bytes_of(storage: Storage) -> int | None:
    bits = BITS.get(storage.dtype or "")
    return None if bits is None else storage.length * bits // 8


class _Bounded:
    """A stream that no single read can fill the memory from: a zip may claim a directory of any length."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable
        self.limit = _DIRECTORY_LIMIT

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(self.limit + 1 if size < 0 else min(size, self.limit + 1))
        if len(data) > self.limit:
            raise _BadFileError("corrupt-header", "its zip directory is larger than any that torch writes")
        return data


def _in_blocks(stream: IO[bytes], size: int) -> RangeFile:
    """The many small reads of a pickle from afar, as few requests."""

    def get(start: int, end: int) -> tuple[int, bytes]:
        stream.seek(start)
        return start, stream.read(end - start)

    return RangeFile(size, get, block=_BLOCK)
