"""A repository of the Hub as a place: its listing answers for a folder's, headers are read by range requests."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpin.remote.hub.repository import Repository


class _Stat(NamedTuple):
    st_size: int


class HubPlace:
    """The root folder of a repository at one commit; its text form is what the user called it."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    @property
    def id(self) -> str:
        return self.repository.id

    @property
    def commit(self) -> str:
        return self.repository.commit

    @property
    def local(self) -> Path:
        """The folder in the Hub cache that a download makes."""
        return self.repository.local

    @property
    def name(self) -> str:
        return self.id.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return ""

    def __str__(self) -> str:
        return str(self.repository.reference)

    def __truediv__(self, name: str, /) -> HubFilePlace:
        return HubFilePlace(self.repository, name)

    def iterdir(self) -> Iterator[HubFilePlace]:
        return (HubFilePlace(self.repository, name) for name in self.repository.files)

    def exists(self) -> bool:
        return True

    def is_file(self) -> bool:
        return False

    def is_dir(self) -> bool:
        return True

    def stat(self) -> _Stat:
        return _Stat(0)

    def open(self, _mode: Literal["rb"] = "rb", /) -> IO[bytes]:
        raise IsADirectoryError(f"{self} is a repository")

    def read_bytes(self) -> bytes:
        raise IsADirectoryError(f"{self} is a repository")


class HubFilePlace:
    """One file in the root folder of a repository, there or not."""

    def __init__(self, repository: Repository, name: str) -> None:
        self._repository = repository
        self.name = name

    @property
    def suffix(self) -> str:
        at = self.name.rfind(".")
        return self.name[at:] if 0 < at < len(self.name) - 1 else ""

    @property
    def sha256(self) -> str | None:
        """As the listing tells it: for LFS files only."""
        found = self._repository.files.get(self.name)
        return None if found is None else found.sha256

    def __str__(self) -> str:
        return f"{self._repository.reference}/{self.name}"

    def __truediv__(self, name: str, /) -> HubFilePlace:
        return HubFilePlace(self._repository, f"{self.name}/{name}")

    def iterdir(self) -> Iterator[HubFilePlace]:
        raise NotADirectoryError(str(self))

    def exists(self) -> bool:
        return self.is_file()

    def is_file(self) -> bool:
        return self.name in self._repository.files

    def is_dir(self) -> bool:
        return False

    def stat(self) -> _Stat:
        return _Stat(self._repository.size(self.name))

    def open(self, _mode: Literal["rb"] = "rb", /) -> IO[bytes]:
        self._repository.expect(self.name)
        return cast("IO[bytes]", _Ranges(self._repository, self.name))

    def read_bytes(self) -> bytes:
        return self._repository.read_whole(self.name)


class _Ranges(io.RawIOBase):
    """A file whose reads are range requests."""

    def __init__(self, repository: Repository, name: str) -> None:
        super().__init__()
        self._repository = repository
        self._name = name
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._repository.size(self._name)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        end = self._repository.size(self._name)
        if size is not None and size >= 0:
            end = min(end, self._at + size)
        data = self._repository.read(self._name, self._at, end) if end > self._at else b""
        self._at += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)
