"""A sample of a file of weights: what tells other weights from these in a millisecond, whatever the size.

The hook takes the same sample in the training run (recording/hook/_envpin_hook/artefacts.py, which cannot import this);
a test holds the two together. Equal samples do not prove equal files: only a digest of the whole does.
"""

from __future__ import annotations

from typing import IO, NamedTuple

from envpin.core.files import new_digest

BLOCK = 16 * 1024
BLOCKS = 16


class FileSample(NamedTuple):
    """See `envpin.manifest.types.WeightSample`, which keeps one in a manifest."""

    size: int
    header_sha256: str
    blocks_sha256: str


def sample_offsets(size: int) -> list[int]:
    """Where the sampled blocks of a file of `size` bytes begin: its start, its end, and evenly between."""
    last = size - BLOCK
    if last <= 0:
        return [0]
    count = min(BLOCKS, -(-size // BLOCK))
    return [last * number // (count - 1) for number in range(count)]


def take_sample(stream: IO[bytes], header: bytes, size: int) -> FileSample:
    """The sample of an open file of `size` bytes. `header` is its header with the length before it.

    Raises:
        OSError: it cannot be read.
    """
    first, blocks = new_digest(), new_digest()
    first.update(header)
    for offset in sample_offsets(size):
        stream.seek(offset)
        blocks.update(stream.read(BLOCK))
    return FileSample(size=size, header_sha256=first.hexdigest(), blocks_sha256=blocks.hexdigest())
