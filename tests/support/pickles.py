"""Files as `torch.save` writes them, opcode by opcode: no torch, and as wrong as a test wants them."""

from __future__ import annotations

import io
import struct
import zipfile
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    if 0 <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(9, "little")
    return b"\x8a" + bytes([len(data)]) + data


def sizes(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def stored(key: str, count: int, *, kind: str = "FloatStorage", more: bytes = b"") -> bytes:
    """A storage by its persistent id. `more` is what the format before torch 1.6 adds to it."""
    body = text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(count) + more
    return b"(" + body + b"tQ"


def tensor(shape: tuple[int, ...], storage: bytes, *, offset: int = 0, stride: tuple[int, ...] | None = None) -> bytes:
    if stride is None:
        stride = tuple(prod(shape[at + 1 :]) for at in range(len(shape)))
    hooks = b"ccollections\nOrderedDict\n)R"
    arguments = storage + number(offset) + sizes(shape) + sizes(stride) + b"\x89" + hooks
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def state_dict(shapes: Mapping[str, tuple[int, ...]], *, more: bytes = b"") -> bytes:
    """The pickle of a state dict of float32 tensors, each in a storage of its own."""
    items = b"".join(
        text(name) + tensor(shape, stored(str(at), prod(shape), more=more))
        for at, (name, shape) in enumerate(shapes.items())
    )
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def write_zip(path: Path, pickle: bytes, lengths: list[int], *, compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip of `data.pkl` and of one member for each storage, `lengths` bytes long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle)
        for at, length in enumerate(lengths):
            archive.writestr(f"archive/data/{at}", b"\0" * length)
    return path


def write_bin(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """A healthy file."""
    return write_zip(path, state_dict(shapes), [4 * prod(shape) for shape in shapes.values()])


def write_legacy(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """A healthy file as torch before 1.6 wrote it."""
    magic = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."
    keys = b"\x80\x02](" + b"".join(text(str(at)) for at in range(len(shapes))) + b"e."
    body = io.BytesIO()
    body.write(magic + b"\x80\x02M\xe9\x03." + b"\x80\x02}." + state_dict(shapes, more=b"N") + keys)
    for shape in shapes.values():
        body.write(struct.pack("<q", prod(shape)) + b"\0" * 4 * prod(shape))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body.getvalue())
    return path
