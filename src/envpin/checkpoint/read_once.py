"""A folder whose files are each opened once, however many readers ask for them.

Plan, preflight and inference look at the same small files. What they all see is the bytes of one moment, and a file
on a slow disk is paid for once.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import weakref
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast

from envpin.checkpoint.confined import Confined
from envpin.core.files import TooLargeError, open_file, open_regular, read_bounded
from envpin.core.range_file import RangeFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.core.place import Place, Stat

# Kept whole up to here: every config, card, index and training_args.bin in the wild has less. A larger file (a
# vocabulary, the state of a long run) has one reader, which keeps what it made of it.
_KEPT_BYTES = 4_000_000
_KEPT_REMOTE_BYTES = 1_000_000  # of a larger remote file, only the part that a reader asks for is fetched
# Read by header, by what peft left at zero and by digest: kept open, because it may have gigabytes. One descriptor for
# each opened adapter; the shards of a base are closed after their headers were read.
_HELD = frozenset({"adapter_model.safetensors", "adapter_model.bin"})


class _Memory:
    """What was read below one folder, by the path relative to it; shared by all places of the folder."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.held: dict[str, _Handle] = {}


class ReadOnce:
    """A `Place` over another one. The text form and the names are those of the other one."""

    def __init__(self, place: Place, *, _memory: _Memory | None = None, _key: str = "") -> None:
        self._place = place
        self._memory = _memory if _memory is not None else _Memory()
        self._key = _key

    def confined(self) -> ReadOnce:
        """The same folder and the same memory, without what leads out of it; the place itself where it is remote."""
        if not isinstance(self._place, Path):
            return self
        return ReadOnce(Confined(self._place), _memory=self._memory, _key=self._key)

    @property
    def refused(self) -> list[str]:
        """See `Confined`."""
        return self._place.refused if isinstance(self._place, Confined) else []

    @property
    def is_local(self) -> bool:
        """Whether the bytes are on this machine, where reading here and there in a file costs nothing."""
        return isinstance(self._place, (Path, Confined))

    @property
    def sha256(self) -> str | None:
        """As a repository's listing tells it; None where it has to be computed."""
        return getattr(self._place, "sha256", None)

    @property
    def name(self) -> str:
        return self._place.name

    @property
    def suffix(self) -> str:
        return self._place.suffix

    def __str__(self) -> str:
        return str(self._place)

    def __truediv__(self, name: str, /) -> ReadOnce:
        return ReadOnce(self._place / name, _memory=self._memory, _key=f"{self._key}/{name}")

    def iterdir(self) -> Iterator[ReadOnce]:
        return (self / entry.name for entry in self._place.iterdir())

    # Names come from strangers' files as well: one that no file system takes is the name of nothing.

    def exists(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return self._place.exists()
        return False

    def is_file(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return self._place.is_file()
        return False

    def is_dir(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return self._place.is_dir()
        return False

    def stat(self) -> Stat:
        return self._place.stat()

    @property
    def modified(self) -> float:
        """When it was last written, in seconds since 1970.

        Raises:
            OSError: it is not there, or is remote, where nobody tells.
        """
        if not isinstance(self._place, (Path, Confined)):
            raise OSError(f"nobody tells when `{self}` was written")
        return self._place.stat().st_mtime

    def open(self, _mode: Literal["rb"] = "rb", /) -> IO[bytes]:
        if not self._place.is_file():  # a missing file, or one outside of a confined folder: as the place says it
            return open_file(self._place)
        if self.name in _HELD and isinstance(self._place, (Path, Confined)):
            return self._hold()
        if (kept := self._keep()) is not None:
            return io.BytesIO(kept)
        return open_file(self._place)

    def read_bytes(self) -> bytes:
        if self._place.is_file() and (kept := self._keep()) is not None:
            return kept
        if not isinstance(self._place, Path):
            return self._place.read_bytes()  # a remote file in one request
        with open_regular(self._place) as stream:
            return stream.read()

    def _keep(self) -> bytes | None:
        kept = self._memory.kept.get(self._key)
        if kept is not None:
            return kept
        limit = _KEPT_BYTES if self.is_local else _KEPT_REMOTE_BYTES
        if _holds_weights(self.name) or self._place.stat().st_size > limit:
            return None
        try:
            kept = self._memory.kept[self._key] = read_bounded(self._place, limit)
        except TooLargeError:  # it grew meanwhile
            return None
        return kept

    def _hold(self) -> IO[bytes]:
        handle = self._memory.held.get(self._key)
        if handle is None:
            handle = self._memory.held[self._key] = _Handle(str(self._place))

        def get(start: int, end: int) -> tuple[int, bytes]:
            return start, handle.read_at(start, end - start)

        return cast("IO[bytes]", io.BufferedReader(RangeFile(handle.size, get, keep=False), 1 << 16))


def _holds_weights(name: str) -> bool:
    """Weights are read by their headers: ten thousand adapters of a scan are not to be read whole."""
    return name.endswith(".safetensors") or (
        name.endswith(".bin") and name.startswith(("adapter_model", "pytorch_model"))
    )


class _Handle:
    """One open file, read at positions. Closed when nobody refers to it any more."""

    def __init__(self, path: str) -> None:
        with open_regular(path) as stream:
            self._descriptor = os.dup(stream.fileno())
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._descriptor)
        self.size = os.fstat(self._descriptor).st_size

    def read_at(self, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, count, offset)
        with self._lock:  # Windows
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, count)


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)
