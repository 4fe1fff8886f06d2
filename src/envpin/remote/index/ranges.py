"""A wheel read over HTTP ranges: its directory and the members that are wanted, not the rest."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

from envpin.core.errors import InputError

if TYPE_CHECKING:
    import urllib3

    from envpin.remote.index.client import Index
    from envpin.remote.index.types import ReleaseFile

_TAIL = 64 * 1024
_GAP = 32 * 1024


class OpenWheel:
    """A wheel opened through range requests, as a context manager."""

    def __init__(self, index: Index, file: ReleaseFile) -> None:
        self._index = index
        self._file = file

    def __enter__(self) -> tuple[zipfile.ZipFile, RangeReader]:
        reader = RangeReader(self._index, self._file.url)
        try:
            return zipfile.ZipFile(reader), reader
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise InputError(f"`{self._file.filename}` is not a wheel that can be read: {error}") from error

    def __exit__(self, *_details: object) -> None:
        return None


class RangeReader(io.RawIOBase):
    """A read-only file over HTTP ranges. A server that ignores ranges sends the whole file, which is then used.

    The end is fetched first, because a wheel's directory is there; `prefetch` announces what is read next.
    """

    def __init__(self, index: Index, url: str) -> None:
        super().__init__()
        self._index = index
        self._url = url
        self._spans: list[tuple[int, bytes]] = []
        self._at = 0
        response = self._get(f"bytes=-{_TAIL}")
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status == 206 and total.isdigit():
            self.length = int(total)
            self._spans.append((self.length - len(response.data), response.data))
        else:
            self.length = len(response.data)
            self._spans.append((0, response.data))

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.length}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self.length if size < 0 else min(self._at + size, self.length)
        self.prefetch(self._at, end - self._at)
        data = self._held(self._at, end)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def prefetch(self, start: int, size: int) -> None:
        """Fetch `size` bytes from `start` in one request, unless they are here."""
        end = min(start + size, self.length)
        if end <= start or any(at <= start and end <= at + len(data) for at, data in self._spans):
            return
        response = self._get(f"bytes={start}-{end - 1}")
        if response.status == 206:
            self._spans.append((start, response.data))
        else:
            self._spans.append((0, response.data))

    def prefetch_together(self, pieces: list[tuple[int, int]]) -> None:
        """Fetch many (start, size) pieces; neighbours come in one request, as a request costs more than a gap."""
        runs: list[list[int]] = []
        for start, size in sorted(pieces):
            end = min(start + size, self.length)
            if runs and start <= runs[-1][1] + _GAP:
                runs[-1][1] = max(runs[-1][1], end)
            else:
                runs.append([start, end])
        for start, end in runs:
            self.prefetch(start, end - start)

    def _held(self, start: int, end: int) -> bytes:
        for at, data in self._spans:
            if at <= start and end <= at + len(data):
                return data[start - at : end - at]
        # the server sent less than it promised
        for at, data in self._spans:
            if at <= start < at + len(data):
                return data[start - at :]
        return b""

    def _get(self, span: str) -> urllib3.BaseHTTPResponse:
        response = self._index.request(self._url, {"Range": span, "Accept-Encoding": "identity"})
        self._index.check(response.status, self._url)
        return response
