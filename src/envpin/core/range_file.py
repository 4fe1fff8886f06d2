"""A file whose bytes come in ranges from elsewhere: over HTTP from an index or the Hub, or a costly stream."""

from __future__ import annotations

import io
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# A request costs more than reading this much that nobody wants.
_GAP = 32 * 1024


class RangeFile(io.RawIOBase):
    """A read-only file of `size` bytes. `get(start, end)` fetches a range, and says where what it gives begins: a
    server that ignores ranges gives the file from its beginning.

    What was fetched is kept, unless `keep` is false, and never fetched again. With `block`, whole blocks are fetched,
    so that many small reads near each other are one request; `held` is what is here already.
    """

    def __init__(
        self,
        size: int,
        get: Callable[[int, int], tuple[int, bytes]],
        *,
        keep: bool = True,
        block: int = 1,
        held: Iterable[tuple[int, bytes]] = (),
    ) -> None:
        super().__init__()
        self.size = size
        self._get = get
        self._keep = keep
        self._block = block
        self._at = 0
        # Pieces that neither touch inside each other nor overlap, by their beginning.
        self._starts: list[int] = []
        self._pieces: list[bytes] = []
        for start, data in held:
            self._hold(start, data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        end = self.size if size is None or size < 0 else min(self.size, self._at + size)
        if end <= self._at:
            return b""
        if self._keep:
            self.prefetch(self._at, end - self._at)
            data = self._held(self._at, end)
        else:
            first, data = self._get(self._at, end)
            data = data[self._at - first : end - first]
        self._at += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def prefetch(self, start: int, size: int) -> None:
        """Fetch `size` bytes from `start` in one request, but for those at either end that are here."""
        end = min(-(-(start + size) // self._block) * self._block, self.size)
        start = start // self._block * self._block
        while start < end and (piece := self._piece_at(start)) is not None:
            start = piece[1]
        while start < end and (piece := self._piece_at(end - 1)) is not None:
            end = piece[0]
        if start < end:
            self._hold(*self._get(start, end))

    def prefetch_together(self, pieces: Iterable[tuple[int, int]]) -> None:
        """Fetch many (start, size) pieces, what of them lies in the file; neighbours come in one request."""
        runs: list[list[int]] = []
        for first, size in sorted(pieces):
            start, end = max(0, first), min(first + size, self.size)
            if start >= end:
                continue
            if runs and start <= runs[-1][1] + _GAP:
                runs[-1][1] = max(runs[-1][1], end)
            else:
                runs.append([start, end])
        for start, end in runs:
            self.prefetch(start, end - start)

    def _piece_at(self, at: int) -> tuple[int, int] | None:
        """Beginning and end of the piece that holds the byte `at`."""
        number = bisect_right(self._starts, at) - 1
        if number < 0:
            return None
        start = self._starts[number]
        end = start + len(self._pieces[number])
        return (start, end) if at < end else None

    def _hold(self, start: int, data: bytes) -> None:
        """Keep a piece. Of one that overlaps what is here, only what is new counts."""
        end = start + len(data)
        while start < end and (piece := self._piece_at(start)) is not None:
            data, start = data[piece[1] - start :], piece[1]
        while start < end and (piece := self._piece_at(end - 1)) is not None:
            data, end = data[: max(0, piece[0] - start)], piece[0]
        if start >= end:
            return
        first, last = bisect_right(self._starts, start), bisect_right(self._starts, end - 1)
        self._starts[first:last] = [start]  # what lies inside is in the new piece as well
        self._pieces[first:last] = [data]

    def _held(self, start: int, end: int) -> bytes:
        """What is here of a range, up to the first byte that is not: a server may send less than it promised."""
        found: list[bytes] = []
        while start < end and (piece := self._piece_at(start)) is not None:
            data = self._pieces[bisect_right(self._starts, start) - 1]
            found.append(data[start - piece[0] : end - piece[0]])
            start = piece[1]
        return b"".join(found)
