"""Where a checkpoint is read from: a folder of this machine, or a repository of the Hub read from afar.

`Place` is the part of `pathlib.Path` that the readers use, so every `Path` is one;
`envpin.remote.hub.HubPlace` is the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stat(Protocol):
    """`st_size` is in bytes."""

    @property
    def st_size(self) -> int: ...


class Place(Protocol):
    """A folder or one file in it. Its text form is what messages and commands call it.

    A missing file raises as it does for a `Path`; what keeps a place from answering at all (the network, a gated
    repository) raises an `EnvpinError`, so that it is never mistaken for a broken file.
    """

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    def __truediv__(self, name: str, /) -> Place: ...

    def iterdir(self) -> Iterator[Place]: ...

    def exists(self) -> bool: ...

    def is_file(self) -> bool: ...

    def is_dir(self) -> bool: ...

    def stat(self) -> Stat: ...

    def open(self, mode: Literal["rb"], /) -> IO[bytes]: ...

    def read_bytes(self) -> bytes: ...


class RemotePlace(Place, Protocol):
    """A place on another machine. `local` is the folder that a download of it makes, whether or not it is there."""

    @property
    def id(self) -> str: ...

    @property
    def commit(self) -> str: ...

    @property
    def local(self) -> Path: ...


class OpenRemote(Protocol):
    """Opens a repository by its id and, where one is wanted, its revision. An InputError says that there is none."""

    def __call__(self, repository: str, revision: str | None, /) -> RemotePlace: ...


def local_path(place: Place) -> Path:
    """The folder itself; of a remote place the folder that a download of it makes."""
    return place if isinstance(place, Path) else place.local  # type: ignore[attr-defined]
