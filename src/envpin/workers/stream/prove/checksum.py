"""The checksum by which `envpin verify` names the tensors that changed in a damaged file: CRC-32 of the sums of its
blocks, six times as quick as a CRC-32 of its bytes.

A block is 64 KiB from the tensor's start, the last one filled up with zeros; its sum is that of its little-endian words
of eight bytes, modulo 2**64. Words that change places within a block are not noticed: whether a file changed at all is
what its SHA-256 says.
"""

from __future__ import annotations

import zlib

from ..io.reader import memory_of

BLOCK = 1 << 16
# Before the figure in a record (`envpin/replay/reverify.py`). A number is an earlier record's CRC-32 of the bytes.
PREFIX = "sums64k:"


def add_blocks(piece: memoryview, checksum: int = 0) -> int:
    """The checksum with the blocks of `piece` added; all pieces but a tensor's last are whole blocks."""
    import torch

    if not len(piece):
        return checksum
    if len(piece) % BLOCK:
        whole = len(piece) // BLOCK * BLOCK
        rest = bytearray(piece[whole:]) + bytearray(BLOCK - len(piece) + whole)
        return add_blocks(memoryview(rest), add_blocks(piece[:whole], checksum))
    sums = torch.frombuffer(piece, dtype=torch.uint8).view(torch.int64).view(-1, BLOCK // 8).sum(1)
    return zlib.crc32(memory_of(sums), checksum)


def written_form(checksum: int) -> str:
    """As it stands in a record."""
    return "%s%08x" % (PREFIX, checksum)
