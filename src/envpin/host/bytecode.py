"""The compiled modules that workers run: envpin's own, never those that lie next to the sources.

Whoever can write one file into an environment could replace a `.pyc` under its `__pycache__`, and the sources would
still be as they were installed. Compiling torch and transformers anew at each start costs seconds. So workers keep
their byte code apart (`-X pycache_prefix`), in a folder of the store of which envpin remembers every file that a
worker of its own has left there, by size, times and inode; what is not as it was goes before the next worker starts.
https://docs.python.org/3/using/cmdline.html#cmdoption-X
"""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING, Self

import msgspec

from envpin.core.files import digest_of_file, read_bounded, write_atomically
from envpin.core.marks import BYTECODE, RECEIPT
from envpin.core.typed_json import NOT_OF_ITS_SHAPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_KNOWN = "known.json"
_LOCK = "lock"
_MAX_BYTES = 64_000_000  # a hundred bytes for each of some thousand modules

# Size, mtime and ctime in nanoseconds, inode.
_Seen = tuple[int, int, int, int]


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """`receipt` is the digest of the receipt of the environment that the byte code is of."""

    receipt: str
    files: dict[str, _Seen]


class Bytecode:
    """A context manager around the life of a worker in the interpreter `python`.

    `folder` is where that worker finds and leaves its byte code: in the store if the environment is one of its own and
    it can be written, else in `scratch`, where it begins with none. Any number of workers may share an environment.
    """

    def __init__(self, python: Path, scratch: Path) -> None:
        self.folder = scratch / "bytecode"
        self._environment = python.absolute().parent.parent
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if not (self._environment / RECEIPT).is_file():
            return self  # not of the store: nothing is written into it
        folder = self._environment.parent / BYTECODE / self._environment.name
        with contextlib.suppress(OSError):
            if folder.is_symlink():
                folder.unlink()
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
            lock = _open_lock(folder / _LOCK)
            try:
                _share(lock, alone=lambda: self._clear(folder))
            except BaseException:
                lock.close()
                raise
            self._lock, self.folder = lock, folder
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._lock is None:
            return
        with contextlib.suppress(OSError):
            self._remember()
        self._lock.close()
        self._lock = None

    def _clear(self, folder: Path) -> None:
        """Remove what no worker of ours has left.

        Raises:
            OSError: something resists, so nothing in there may be run.
        """
        known = self._read_known(folder)
        for name, seen in list(_files(folder)):
            if name not in {_KNOWN, _LOCK} and known.get(name) != seen:
                (folder / name).unlink()

    def _remember(self) -> None:
        files = {name: seen for name, seen in _files(self.folder) if name.endswith(".pyc")}
        if files != self._read_known(self.folder):
            document = _Known(receipt=digest_of_file(self._environment / RECEIPT), files=files)
            write_atomically(self.folder / _KNOWN, msgspec.json.encode(document), durable=False)

    def _read_known(self, folder: Path) -> dict[str, _Seen]:
        try:
            found = msgspec.json.decode(read_bounded(folder / _KNOWN, _MAX_BYTES), type=_Known)
        except (OSError, *NOT_OF_ITS_SHAPE):
            return {}
        return found.files if found.receipt == digest_of_file(self._environment / RECEIPT) else {}


def _open_lock(path: Path) -> IO[bytes]:
    try:
        return path.open("ab")
    except OSError:
        return path.open("rb")  # a store that may only be read


def _share(lock: IO[bytes], *, alone: Callable[[], None]) -> None:
    """Hold the lock together with other workers. Who comes first calls `alone` before anybody else can."""
    try:
        import fcntl
    except ImportError:  # Windows: nobody waits for anybody
        alone()
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH)  # waits for nobody but who is clearing just now
        return
    except OSError:  # a file system without locks
        alone()
        return
    alone()
    fcntl.flock(lock, fcntl.LOCK_SH)


def _files(folder: Path) -> Iterator[tuple[str, _Seen]]:
    """Every file below the folder by its name in it, links included, none followed."""
    root = str(folder)
    waiting = [root]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for one in found:
                if one.is_dir(follow_symlinks=False):
                    waiting.append(one.path)
                    continue
                status = one.stat(follow_symlinks=False)
                # On Windows ctime is the time of creation, and files have no number here.
                yield one.path[len(root) + 1 :], (
                    status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
                )  # fmt: skip
