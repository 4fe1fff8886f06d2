"""A folder of this machine that cannot be left: links that point out of it, and what is no regular file, are not read.

A stranger's adapter may hold a link to a file of the reader's, a pipe that never ends, or a device.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Literal

from envpin.core.files import open_regular
from envpin.core.hub_cache import blobs_beside

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path


class Confined:
    """A `Place` over a `Path`. What lies outside is as if it were not there; `refused` collects its names.

    A snapshot of the Hub's cache may point to the blobs of the same model: that is how the cache is made.
    """

    def __init__(
        self, path: Path, *, _inside: tuple[Path, tuple[Path, ...]] | None = None, _refused: list[str] | None = None
    ) -> None:
        self.path = path
        self._folder, self._roots = _inside or (path, roots_of(path))
        self.refused: list[str] = [] if _refused is None else _refused

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def suffix(self) -> str:
        return self.path.suffix

    def __truediv__(self, name: str, /) -> Confined:
        return Confined(self.path / name, _inside=(self._folder, self._roots), _refused=self.refused)

    def iterdir(self) -> Iterator[Confined]:
        self._check()
        for entry in self.path.iterdir():
            found = self / entry.name
            if found.exists():
                yield found

    def exists(self) -> bool:
        return self._inside() and self.path.exists()

    def is_file(self) -> bool:
        return self._inside() and self.path.is_file()

    def is_dir(self) -> bool:
        return self._inside() and self.path.is_dir()

    def stat(self) -> os.stat_result:
        self._check()
        return self.path.stat()

    def open(self, _mode: Literal["rb"], /) -> IO[bytes]:
        self._check()
        return open_regular(self.path)

    def read_bytes(self) -> bytes:
        with self.open("rb") as stream:
            return stream.read()

    def _check(self) -> None:
        if not self._inside():
            raise FileNotFoundError(2, "it lies outside the folder", str(self.path))

    def _inside(self) -> bool:
        if self.path.parent == self._folder and not self.path.is_symlink():
            return True  # most files, without following every part of a path
        if not leads_out(self.path, self._roots):
            return True
        if self.path.name not in self.refused:
            self.refused.append(self.path.name)
        return False


def leads_out(path: Path, roots: tuple[Path, ...]) -> bool:
    """Whether a path ends, once every link in it is followed, in none of `roots`; so does one that ends nowhere."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links; a name that no file system takes
        return True
    return not any(real == root or root in real.parents for root in roots)


def roots_of(path: Path) -> tuple[Path, ...]:
    """Where links in a folder may lead: into it; from a snapshot of the Hub cache to the blobs of the same model."""
    try:
        root = path.resolve()
    except (OSError, RuntimeError, ValueError):
        return ()  # a folder that is nowhere: nothing is inside it
    blobs = blobs_beside(root)
    return (root,) if blobs is None else (root, blobs)
