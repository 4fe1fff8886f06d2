"""Do two folders hold the same values? Tensor by tensor, from the bytes, however the files are cut into shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpin.checkpoint.tensor_reader import TensorReader
from envpin.core.files import digest
from envpin.core.sizes import counted, size_words

if TYPE_CHECKING:
    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.checkpoint.formats.safetensors import Tensor

# Bytes of both sides that are read without being asked: some five seconds from a page cache, a minute from a disk.
UNASKED = 4 * 1024**3


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """`different` maps a tensor to digests of the first block that differs, on either side. `compared` counts tensors;
    `not_compared` says which were not, and why; None where all that both sides have were."""

    compared: int
    different: dict[str, tuple[str, str]]
    not_compared: str | None = None


def compare_contents(before: Checkpoint, after: Checkpoint, *, whole: bool = False) -> Contents:
    """Compare the values of every tensor that both folders have in one shape and dtype.

    Of more than `UNASKED` bytes only the samples of equally named files are compared, unless the `whole` is wanted.
    """
    pairs = [
        (one, other)
        for name, one in before.tensors.items()
        if (other := after.tensors.get(name)) is not None and (one.shape, one.dtype) == (other.shape, other.dtype)
    ]
    known = [(one, other) for one, other in pairs if one.end > one.start and other.end > other.start]
    size = sum(one.end - one.start + other.end - other.start for one, other in known)
    if size > UNASKED and not whole:
        sampled = {
            name: (held.blocks_sha256[:12], theirs.blocks_sha256[:12])
            for name, held in before.samples.items()
            if (theirs := after.samples.get(name)) is not None and held != theirs
        }
        reason = (
            f"the values of {counted(len(pairs), 'tensor')}, {size_words(size)} of both sides (--contents reads them)"
        )
        return Contents(compared=0, different=sampled, not_compared=reason)
    different: dict[str, tuple[str, str]] = {}
    unread = len(pairs) - len(known)
    with TensorReader(before) as first, TensorReader(after) as second:
        for one, other in known:
            try:
                found = _first_difference(first, one, second, other)
            except OSError:
                unread += 1
                continue
            if found is not None:
                different[one.name] = found
    lost = f"the values of {counted(unread, 'tensor')}, which cannot be read here" if unread else None
    return Contents(compared=len(pairs) - unread, different=different, not_compared=lost)


def _first_difference(first: TensorReader, one: Tensor, second: TensorReader, other: Tensor) -> tuple[str, str] | None:
    for mine, theirs in zip(first.blocks(one), second.blocks(other), strict=False):
        if mine != theirs:
            return digest(mine)[:12], digest(theirs)[:12]
    return None
