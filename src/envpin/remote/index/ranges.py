"""A wheel read over HTTP ranges: its directory and the members that are wanted, not the rest."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Protocol

from envpin.core.archive_input import NOT_AN_ARCHIVE
from envpin.core.errors import InputError
from envpin.core.range_file import RangeFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# A wheel's directory is at its end, and rarely larger than this.
_TAIL = 64 * 1024


class RangeAnswer(Protocol):
    """What a server answers to a request for a range."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def data(self) -> bytes: ...


def open_wheel(name: str, ask: Callable[[str], RangeAnswer]) -> tuple[zipfile.ZipFile, RangeFile]:
    """The wheel called `name`, and the file that its members are read from: `prefetch_together` announces which.

    `ask` requests one value of the header `Range`. A server that ignores it sends all, which is then used.

    Raises:
        InputError: it is no wheel.
    """

    def get(start: int, end: int) -> tuple[int, bytes]:
        answer = ask(f"bytes={start}-{end - 1}")
        return (start if answer.status == 206 else 0), answer.data

    tail = ask(f"bytes=-{_TAIL}")
    total = tail.headers.get("Content-Range", "").rpartition("/")[2]
    whole = tail.status != 206 or not total.isdigit()
    size = len(tail.data) if whole else int(total)
    reader = RangeFile(size, get, held=[(size - len(tail.data), tail.data)])
    try:
        return zipfile.ZipFile(reader), reader
    except (OSError, *NOT_AN_ARCHIVE) as error:
        raise InputError(f"`{name}` is not a wheel that can be read: {error}") from error


class WheelContents:
    """The members of an open wheel, called `filename`."""

    def __init__(self, filename: str, wheel: zipfile.ZipFile, reader: RangeFile) -> None:
        self._filename, self._wheel, self._reader = filename, wheel, reader
        self._members = {info.filename: info for info in wheel.infolist()}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def fingerprint(self, name: str) -> tuple[str, int, int]:
        """Name, CRC and size of a member, by the wheel's own directory: known before the member is read."""
        info = self._members[name]
        return name, info.CRC, info.file_size

    def read(self, names: Iterable[str]) -> dict[str, bytes]:
        """The named members, those that it has; neighbours come in one request.

        Raises:
            InputError: one of them cannot be read.
        """
        present = [self._members[name] for name in names if name in self._members]
        self._reader.prefetch_together([(info.header_offset, _extent(info)) for info in present])
        found: dict[str, bytes] = {}
        for info in present:
            try:
                found[info.filename] = self._wheel.read(info)
            except (OSError, *NOT_AN_ARCHIVE) as error:
                raise InputError(f"`{info.filename}` in `{self._filename}` cannot be read: {error}") from error
        return found


def _extent(info: zipfile.ZipInfo) -> int:
    """How far a member may reach: its header, name and extra field come first, and the last is known only there."""
    return info.compress_size + 30 + len(info.filename.encode()) + 512
