"""The header of a safetensors file: names, shapes, dtypes and byte ranges of its tensors, without reading them.

Format: https://huggingface.co/docs/safetensors/index#format. The checks are those of the reference reader, so that a
file passes here exactly if it passes there; what is not safetensors at all is told apart by its first bytes.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from envpin.checkpoint.formats.sampled import FileSample, take_sample
from envpin.core import json_input
from envpin.core.files import open_file
from envpin.core.sizes import counted, verb
from envpin.core.stand_ins import answer, stand_in

if TYPE_CHECKING:
    from envpin.core.place import Place

# The reference reader's own limit; `json_input` has a lower one, which only hostile files meet.
HEADER_LIMIT = 100_000_000
# 125,000 tensors of two axes; the largest single file known to us has 91,000.
MAX_VALUES = 1_000_000

BITS: dict[str, int] = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip

# Adapters of one base and one set of layers have equal headers, byte for byte; the largest real ones have some 150 kB.
_KEPT, _KEPT_BYTES = 8, 256_000


class Tensor(NamedTuple):
    """One tensor of a file. `dtype` is safetensors' name (`BF16`); its bytes are `[start, end)` of `file`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: str
    start: int
    end: int


class Fault(NamedTuple):
    """Something wrong with one file: `code` is a code of the findings catalogue."""

    code: str
    file: str
    message: str
    found: str | None = None
    expected: str | None = None


def json_fault(name: str, error: json_input.BadJsonError, words: str = "is not valid JSON") -> Fault:
    """That a file is no JSON, under the code of what stands in its place where that is known."""
    code = error.instead.code if error.instead is not None else "corrupt-header"
    return Fault(code, name, f"{words}: {error}")


class Header(NamedTuple):
    tensors: tuple[Tensor, ...] = ()
    metadata: dict[str, str] = {}  # noqa: RUF012  a NamedTuple's default is shared, and never written to
    fault: Fault | None = None


def read_header(path: Place, samples: dict[str, FileSample] | None = None) -> Header:
    """What one safetensors file holds. A broken file gives a header with a fault; nothing is raised for it.

    `samples` takes a sample of the file by its name, read while it is open.
    """
    name = path.name
    try:
        with open_file(path) as stream:
            size = path.stat().st_size
            start = stream.read(520)
            fault = _start_fault(start, name, size)
            if fault is not None:
                return Header(fault=fault)
            length = int.from_bytes(start[:8], "little")
            data = start[8 : 8 + length] + stream.read(max(0, length - 512))
            if samples is not None:
                samples[name] = take_sample(stream, start[:8] + data, size)
            return parse_header(data, name, size)
    except OSError as error:
        return _fault("corrupt-header", name, f"cannot be read: {error.strerror or error}")


# Other formats under the name of this one, by their first bytes.
_MAGIC = {
    b"PK\x03\x04": "a zip archive, as torch.save writes it, whose name should end in .bin",
    b"\x80": "a pickle, whose name should end in .bin",
    b"GGUF": "a GGUF file of llama.cpp, which only its name calls safetensors",
    b"\x1f\x8b": "a gzip archive, which has to be unpacked",
}


def _start_fault(start: bytes, name: str, size: int) -> Fault | None:
    """What the first bytes of a file already tell."""
    foreign = recognise_foreign(start, name, size) or recognise_answer(start, name, size)
    if foreign is not None:
        return foreign
    if size < 8:
        text = "too short for a safetensors header" if size else "the file is empty"
        return Fault("truncated-file", name, text, counted(size, "byte"))
    length = int.from_bytes(start[:8], "little")
    if length > HEADER_LIMIT:
        text = next((says for magic, says in _MAGIC.items() if start.startswith(magic)), None) or (
            f"its first 8 bytes claim a header of {counted(length, 'byte')} (not a safetensors file?)"
        )
        return Fault("corrupt-header", name, text, f"{length:,}", f"at most {HEADER_LIMIT:,}")
    if length + 8 > size:
        text = "the file ends inside its header"
        return Fault("truncated-file", name, text, counted(size, "byte"), f"more than {counted(length + 8, 'byte')}")
    if length > json_input.MAX_BYTES:
        text = f"a header of {counted(length, 'byte')} is more than envpin reads"
        return Fault("corrupt-header", name, text, f"{length:,}", f"at most {json_input.MAX_BYTES:,}")
    return None


def parse_header(data: bytes, name: str, size: int) -> Header:
    """The header `data` of the file `name`, which is `size` bytes long."""
    return _parse_once(data, name, size) if len(data) <= _KEPT_BYTES else _parse(data, name, size)


def _parse(data: bytes, name: str, size: int) -> Header:
    if not data.startswith(b"{"):
        return _fault("corrupt-header", name, "its header does not start with `{`")
    try:
        document = json_input.parse(data, max_depth=4, max_values=MAX_VALUES)
    except json_input.BadJsonError as error:
        return _fault("corrupt-header", name, f"its header is not valid JSON: {error}")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        return _fault("corrupt-header", name, "its `__metadata__` must map strings to strings")
    tensors: list[Tensor] = []
    begin = len(data) + 8
    for key in list(document):
        entry = document.pop(key)  # a header may be large: each entry once
        problem = _entry_problem(entry)
        if problem is not None:
            return _fault("corrupt-header", name, f"tensor `{key[:200]}`: {problem}")
        first, last = entry["data_offsets"]
        tensors.append(Tensor(key, tuple(entry["shape"]), entry["dtype"], name, begin + first, begin + last))
    return Header(tuple(tensors), metadata, _layout_fault(tensors, name, begin, size))


_parse_once = lru_cache(maxsize=_KEPT)(_parse)


def _entry_problem(entry: object) -> str | None:
    if not isinstance(entry, dict):
        return "its entry is not an object"
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BITS:
        return f"unknown dtype `{str(dtype)[:40]}`"
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        return "its shape is not a list of sizes"
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(at) is int and at >= 0 for at in offsets):
        return "its data_offsets are not two positions"
    expected = prod(shape) * BITS[dtype]
    if expected % 8 or offsets[1] - offsets[0] != expected // 8:
        return f"{counted(offsets[1] - offsets[0], 'byte')} for shape {shape} of {dtype}"
    return None


def _layout_fault(tensors: list[Tensor], name: str, begin: int, size: int) -> Fault | None:
    at = begin
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start != at:
            kind = "overlaps its neighbour" if tensor.start < at else "leaves a gap before it"
            return Fault("corrupt-header", name, f"tensor `{tensor.name[:200]}` {kind}")
        at = tensor.end
    if at > size:
        text = "the file is shorter than its header says"
        return Fault("truncated-file", name, text, counted(size, "byte"), counted(at, "byte"))
    if at < size:
        text = (
            f"{counted(size - at, 'byte')} {verb(size - at, 'follows', 'follow')} its last tensor (two "
            "downloads written into one file?)"
        )
        return Fault("truncated-file", name, text, counted(size, "byte"), counted(at, "byte"))
    return None


def recognise_foreign(start: bytes, name: str, size: int) -> Fault | None:
    """A pointer or a web page that stands where weights should be; None where the first bytes are neither."""
    found = stand_in(start)
    return found and Fault(found.code, name, f"{found.words}, not the weights", counted(size, "byte"), found.size)


def recognise_answer(start: bytes, name: str, size: int) -> Fault | None:
    """What a server answered, saved as weights, where no other format claims the bytes: old pickles are texts too."""
    said = answer(start) if 8 <= size <= len(start) else None
    if said is None:
        return None
    return Fault("html-instead-of-weights", name, f"a text, not weights: `{said}`", counted(size, "byte"))


def _fault(code: str, file: str, message: str, found: str | None = None, expected: str | None = None) -> Header:
    return Header(fault=Fault(code, file, message, found, expected))
