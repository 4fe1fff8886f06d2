"""A wheel read over HTTP ranges: its directory and the members that are wanted, not the rest."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Protocol

from envpin.core.errors import InputError
from envpin.core.range_file import RangeFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise InputError(f"`{name}` is not a wheel that can be read: {error}") from error
