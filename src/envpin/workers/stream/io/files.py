"""Safetensors folders as bytes: headers in, layouts out. Standard library only.

The format is a little-endian u64, that many bytes of JSON, then the tensors without holes; offsets count from the end
of the JSON (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional, Protocol, Set, Tuple, TypedDict

from ...protocol import KnownError

if TYPE_CHECKING:
    import torch

ITEM_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
}  # fmt: skip
_PAGE = 4096  # what file systems that can share blocks between files share them in


def refuse(reason: str, **data: object) -> KnownError:
    """The plan fails: the caller falls back to the engine `peft`, and says why."""
    return KnownError("not-streamable", reason, **data)


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a safetensors dtype name.

    Raises:
        KnownError: `not-streamable` where this torch has no such dtype.
    """
    import torch

    names = {
        "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "F16": "float16",
        "BF16": "bfloat16", "F32": "float32", "F64": "float64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    }  # fmt: skip
    found: Optional[torch.dtype] = getattr(torch, names.get(name, ""), None)
    if found is None:
        raise refuse("torch %s has no dtype for `%s`" % (torch.__version__, name))
    return found


class RowReader(Protocol):
    """What a decoder reads with (io/reader.py)."""

    def rows(self, tensor: StoredTensor, first: int, last: int) -> torch.Tensor: ...
    def whole(self, tensor: StoredTensor) -> torch.Tensor: ...
    def bytes_of(self, tensor: StoredTensor, first: int, last: int) -> torch.Tensor: ...
    def remembered(self, name: str, make: Callable[[], torch.Tensor]) -> torch.Tensor: ...


class Decoder(Protocol):
    """Makes the rows of a plain tensor from quantized data (decoders.py). `whole_only`: in one piece or not at all."""

    whole_only: bool
    kind: str
    shape: Tuple[int, ...]
    dtype: str

    def describe(self) -> Tuple[object, ...]: ...
    def rows(self, reader: RowReader, first: int, last: int) -> torch.Tensor: ...


class StoredTensor(NamedTuple):
    """Where one stored tensor lies. `offset` counts from the start of the file. With a `decoder` it stands for
    quantized data: no run of bytes has this dtype and shape, and the decoder makes its rows (stream/quantized.py)."""

    name: str
    dtype: str
    shape: Tuple[int, ...]
    path: str
    offset: int
    size: int
    decoder: Optional[Decoder] = None


class HeaderEntry(TypedDict):
    dtype: str
    shape: List[int]
    data_offsets: List[int]


class IndexDocument(TypedDict):
    metadata: Dict[str, int]
    weight_map: Dict[str, str]


class FileHeader(NamedTuple):
    metadata: Dict[str, str]
    tensors: List[StoredTensor]
    data_start: int


def read_header(path: str) -> FileHeader:
    """The header of one file, checked against the file's size.

    Raises:
        KnownError: `bad-header`, naming the file and what is wrong with it.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if length < 2 or 8 + length > size:
            raise KnownError("bad-header", "`%s` is not a whole safetensors file" % path, path=path)
        try:
            document = json.loads(stream.read(length).decode("utf-8"))
            metadata = document.pop("__metadata__", {})
            tensors = [_entry(path, name, entry, 8 + length) for name, entry in document.items()]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise KnownError("bad-header", "the header of `%s` is malformed: %s" % (path, error), path=path) from error
    tensors.sort(key=lambda tensor: (tensor.offset, tensor.size))
    end = 8 + length
    for tensor in tensors:
        if tensor.offset != end:
            raise KnownError(
                "bad-header", "`%s`: tensor `%s` overlaps or leaves a hole" % (path, tensor.name), path=path
            )
        end += tensor.size
    if end != size:
        raise KnownError("bad-header", "`%s` has %d bytes, its header needs %d" % (path, size, end), path=path)
    return FileHeader(metadata, tensors, 8 + length)


def _entry(path: str, name: str, entry: HeaderEntry, data_start: int) -> StoredTensor:
    first, last = entry["data_offsets"]
    shape = tuple(int(extent) for extent in entry["shape"])
    if last - first != byte_count(entry["dtype"], shape):
        raise ValueError("the size of `%s` does not fit its shape" % name)
    return StoredTensor(name, entry["dtype"], shape, path, data_start + first, last - first)


def byte_count(dtype: str, shape: Tuple[int, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count * ITEM_BITS[dtype] // 8


_INDEX = ".safetensors.index.json"


class WeightFolder:
    """The weights of a model folder: `files` by name in the order of their names, `tensors` by name."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.index_name, names = weight_files(path)
        self.files: Dict[str, FileHeader] = {name: read_header(os.path.join(path, name)) for name in names}
        self.tensors: Dict[str, StoredTensor] = {}
        for header in self.files.values():
            for tensor in header.tensors:
                if tensor.name in self.tensors:
                    raise KnownError("bad-index", "two files of `%s` hold `%s`" % (path, tensor.name), path=path)
                self.tensors[tensor.name] = tensor

    def replace(self, tensors: Dict[str, StoredTensor], hidden: Set[str]) -> None:
        """List `tensors` in place of those of the same names, and none of the `hidden`."""
        for header in self.files.values():
            header.tensors[:] = [tensors.get(one.name, one) for one in header.tensors if one.name not in hidden]
        self.tensors = {one.name: one for header in self.files.values() for one in header.tensors}


def weight_files(path: str) -> Tuple[Optional[str], List[str]]:
    """The name of the index, if it counts, and the names of the weight files that it lists (or the one file there is).

    In the order in which transformers looks for them: one whole file first, whatever shards lie next to it.
    """
    held = set(os.listdir(path))
    single: List[str] = [name for name in ("model.safetensors", "adapter_model.safetensors") if name in held]
    if single == ["model.safetensors"]:
        return None, single
    indices = sorted(name for name in held if name.endswith(_INDEX))
    if indices:
        index = "model" + _INDEX if "model" + _INDEX in indices else indices[0]
        with open(os.path.join(path, index), encoding="utf-8") as stream:
            weight_map = json.load(stream)["weight_map"]
        names = sorted(set(weight_map.values()))
        # A hostile index must not point outside its folder.
        bad = [name for name in names if os.path.basename(name) != name]
        missing = [name for name in names if name not in bad and not os.path.exists(os.path.join(path, name))]
        if bad or missing:
            raise KnownError(
                "bad-index", "the index of `%s` names files that are not there" % path, path=path, files=bad + missing
            )
        return index, names
    if len(single) != 1:
        raise KnownError("not-streamable", "`%s` has no safetensors weights" % path, path=path)
    return None, single


class Segment:
    """One tensor of an output file and where its bytes come from: `base` (copied), `cast` (the base's in another dtype,
    or decoded) or `operation` (the operation of that number writes it)."""

    def __init__(
        self, name: str, dtype: str, shape: Tuple[int, ...], *, base: Optional[StoredTensor], operation: Optional[int]
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.base = base
        self.operation = operation
        self.size = byte_count(dtype, shape)
        self.offset = -1

    @property
    def origin(self) -> StoredTensor:
        """The base tensor that this one is copied or cast from."""
        if self.base is None:
            raise ValueError("`%s` does not come from the base" % self.name)
        return self.base

    @property
    def source(self) -> str:
        if self.operation is not None:
            return "operation"
        return "base" if self.origin.dtype == self.dtype and self.origin.decoder is None else "cast"


class OutputFile:
    """A file to write: its header's bytes and its segments, with offsets from the start of the file."""

    def __init__(self, name: str, segments: List[Segment], metadata: Dict[str, str], phase: Optional[int]) -> None:
        self.name = name
        self.segments = segments
        document: Dict[str, object] = {"__metadata__": metadata} if metadata else {}
        end = 0
        for segment in segments:
            document[segment.name] = {
                "dtype": segment.dtype,
                "shape": list(segment.shape),
                "data_offsets": [end, end + segment.size],
            }
            end += segment.size
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
        text += b" " * (-len(text) % 8)
        if phase is not None and phase % 8 == 0:
            # Data that starts at the same place within a page as in the base can be shared, not copied, where the file
            # system knows how (btrfs, xfs, bcachefs).
            text += b" " * ((phase - 8 - len(text)) % _PAGE)
        self.header = struct.pack("<Q", len(text)) + text
        at = len(self.header)
        for segment in segments:
            segment.offset = at
            at += segment.size
        self.size = at


def group_by_size(segments: List[Segment], limit: int) -> List[List[Segment]]:
    """Segments in their order, cut into groups of at most `limit` bytes; a larger tensor stands alone."""
    groups: List[List[Segment]] = [[]]
    used = 0
    for segment in segments:
        if groups[-1] and used + segment.size > limit:
            groups.append([])
            used = 0
        groups[-1].append(segment)
        used += segment.size
    return groups


def index_document(files: List[OutputFile]) -> IndexDocument:
    """`model.safetensors.index.json`: `total_size` counts the tensors' bytes, as transformers does, not the files'."""
    weight_map = {segment.name: file.name for file in files for segment in file.segments}
    total = sum(segment.size for file in files for segment in file.segments)
    return IndexDocument(metadata={"total_size": total}, weight_map=dict(sorted(weight_map.items())))
