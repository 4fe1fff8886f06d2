"""A folder of this machine that cannot be left: links that point out of it, and what is no regular file, are not read.

A stranger's adapter may hold a link to a file of the reader's, a pipe that never ends, or a device.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Literal

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
        self._folder, self._roots = _inside or (path, _roots_of(path))
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

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        self._check()
        if self.path.exists() and not self.path.is_file():
            raise OSError(f"`{self.path}` is not a regular file")
        return self.path.open(mode)

    def read_bytes(self) -> bytes:
        with self.open("rb") as stream:
            return stream.read()

    def _check(self) -> None:
        if not self._inside():
            raise FileNotFoundError(2, "it lies outside the folder", str(self.path))

    def _inside(self) -> bool:
        if self.path.parent == self._folder and not self.path.is_symlink():
            return True  # most files, without following every part of a path
        try:
            real = self.path.resolve()
        except (OSError, RuntimeError, ValueError):  # a loop of links; a name that no file system takes
            real = None
        if real is not None and any(real == root or root in real.parents for root in self._roots):
            return True
        if self.path.name not in self.refused:
            self.refused.append(self.path.name)
        return False


def _roots_of(path: Path) -> tuple[Path, ...]:
    root = path.resolve()
    model = root.parent.parent
    if root.parent.name == "snapshots" and model.name.startswith("models--"):
        return (root, model / "blobs")
    return (root,)
