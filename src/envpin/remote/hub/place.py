"""A repository of the Hub as a place: its listing answers for a folder's, headers are read by range requests."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Literal, NamedTuple, cast

from envpin.core.range_file import RangeFile

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

        def get(start: int, end: int) -> tuple[int, bytes]:
            return start, self._repository.read(self.name, start, end)

        # Nothing is kept: the repository has the beginnings of its files, and the rest may be gigabytes.
        return cast("IO[bytes]", RangeFile(self._repository.size(self.name), get, keep=False))

    def read_bytes(self) -> bytes:
        return self._repository.read_whole(self.name)
