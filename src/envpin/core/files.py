"""Files: read only where they are regular ones, written whole or not at all, digested in one way.

Nothing else in the controller syncs, renames over a file, or digests (tests/unit/test_structure.py). A folder that a
stranger filled may hold a pipe that never answers, a link to a device that never ends, or a file without end.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from envpin.core.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envpin.core.place import Place

# Large enough that a read costs more than its call, small enough for any machine.
_BLOCK = 1 << 20
# Opening a pipe waits for its writer, and a terminal may become the process's own. Windows has neither flag.
_READ_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
# A pipe without a writer is looked at again after a moment: a shell starts both ends at once.
_TRIES, _PAUSE = 10, 0.1  # seconds
_KINDS = (
    (stat.S_ISFIFO, "a pipe, not a regular file"),
    (stat.S_ISSOCK, "a socket, not a regular file"),
    (stat.S_ISCHR, "a device, not a regular file"),
    (stat.S_ISBLK, "a device, not a regular file"),
)


class Digest(Protocol):
    """The part of hashlib's objects that is used here."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class NotRegularError(OSError):
    """There is something under this name, and it is no regular file. `strerror` says what."""


class TooLargeError(OSError):
    """The file holds more than the caller reads. `strerror` says how much that is."""


def open_regular(file: Path | str) -> io.BufferedReader:
    """Open a regular file of this machine for reading; never waits for a pipe or a device.

    Raises:
        OSError: it cannot be opened. A name that no file system takes counts as that, too.
        NotRegularError: it is a folder, a pipe, a socket or a device, or a link to one.
    """
    try:
        _refuse_others(os.stat(file).st_mode, file)  # noqa: PTH116  mostly a string; opening a device may already do something
        descriptor = os.open(file, _READ_FLAGS)
    except ValueError as error:  # a null character, or a lone surrogate
        raise OSError(errno.EINVAL, f"a name that no file can have ({error})", str(file)) from error
    try:
        _refuse_others(os.fstat(descriptor).st_mode, file)  # it may be another one by now
        return _Answering(io.FileIO(descriptor))
    except BaseException:
        os.close(descriptor)
        raise


def open_unless_deserted(file: Path) -> IO[bytes]:
    """Open a file or a pipe for reading. A named pipe that nobody writes to is an error, and not waited for.

    Raises:
        OSError: it cannot be opened, or is such a pipe.
    """
    if not stat.S_ISFIFO(file.stat().st_mode):
        return file.open("rb")
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        first = _first_byte(descriptor)
        os.set_blocking(descriptor, True)
        stream = io.FileIO(descriptor)
        return io.BytesIO(first + stream.readall()) if first else io.BufferedReader(stream)
    except BaseException:
        os.close(descriptor)
        raise


def _first_byte(descriptor: int) -> bytes:
    """The first byte of a pipe, or none where its writer has not written yet. A writer may be a moment late."""
    for _ in range(_TRIES):
        try:
            if first := os.read(descriptor, 1):
                return first
        except BlockingIOError:
            return b""
        time.sleep(_PAUSE)
    raise OSError(errno.EPIPE, "a pipe that nobody writes to")


class _Answering(io.BufferedReader):
    """A file of the kernel's that has nothing to say right now is an error, where Python would give None."""

    def read(self, size: int | None = -1, /) -> bytes:
        found: bytes | None = super().read(size)
        if found is None:
            raise BlockingIOError(errno.EAGAIN, "a file that does not answer, not a regular one")
        return found


def exists(path: Path | str) -> bool:
    """Whether there is something under this name; a name that no file system takes, or a loop of links, is nothing."""
    return os.path.exists(path)  # noqa: PTH110  Path.exists raises for them


def is_folder(path: Path | str) -> bool:
    """As `exists`, for a folder."""
    return os.path.isdir(path)  # noqa: PTH112


def path_of_url(url: str) -> Path:
    """The file that a `file:` URL names."""
    from urllib.parse import unquote, urlsplit  # not at the start of every command

    if os.name != "nt":
        return Path(unquote(urlsplit(url).path))
    from urllib.request import url2pathname  # brings http and email along

    return Path(url2pathname(urlsplit(url).path))


def open_file(file: Place | str) -> IO[bytes]:
    """As `open_regular`; a remote file opens as its repository opens it."""
    return open_regular(file) if isinstance(file, str | Path) else file.open("rb")


def read_bounded(file: Place, limit: int) -> bytes:
    """All bytes of a regular file, or of a remote one.

    Raises:
        OSError: as `open_regular`.
        TooLargeError: it holds more than `limit` bytes, whatever its size is said to be.
    """
    with open_file(file) as stream:
        remote = not isinstance(getattr(stream, "raw", None), io.FileIO)
        if (file.stat() if remote else os.fstat(stream.fileno())).st_size > limit:
            raise _too_large(file, limit)
        # One request for a whole remote file. A local one may grow, and those of /proc say that they are empty.
        data = file.read_bytes() if remote else _read(stream, limit + 1, file)
    if len(data) > limit:
        raise _too_large(file, limit)
    return data


def read_head(file: Place, limit: int) -> bytes:
    """The first bytes of a regular file, or of a remote one: `limit` of them, or fewer where it has no more.

    Raises:
        OSError: as `open_regular`.
    """
    with open_file(file) as stream:
        return _read(stream, limit, file)


def write_atomically(path: Path, data: bytes | str, *, durable: bool = True, parents: bool = False) -> None:
    """Write a temporary sibling and rename it: a reader sees the old file or the new one, whole. What a killed process
    left of its own in that folder goes.

    `durable` puts it on the disk, name included, before this returns; `parents` makes the folders above it. Text is
    written as UTF-8, newlines as they are; what a name that is no text left in it is escaped.

    Raises:
        OSError: it could not be written; the old file is as it was.
    """
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path.parent)
    temporary = path.with_name(f".envpin-{os.getpid()}-{os.urandom(6).hex()}.tmp")  # never longer than a name may be
    try:
        with naming(path), temporary.open("xb") as stream:
            _claim(stream)
            stream.write(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)
            if durable:
                flush(stream)
        move_over(temporary, path, durable=durable)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """A failure inside says of which file, where the system does not: a full disk shows at a write, which has a number
    only."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left of files that they were writing into this folder; once in a process, and
    never what somebody is writing still. Never raises."""
    if str(folder) in _tidied:
        return
    _tidied.add(str(folder))
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208  names only: some caches hold thousands
            found = _UNFINISHED.fullmatch(name)
            if found is not None and not _is_running(int(found[1])):
                _remove_unclaimed(folder / name)


_UNFINISHED = re.compile(r"\.envpin-([0-9]{1,9})-[0-9a-f]{12}\.tmp")
_tidied: set[str] = set()


def _is_running(process: int) -> bool:
    if os.name == "nt":
        return True  # there, the question would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _claim(stream: IO[bytes]) -> bool:
    """Lock a file while it is being written: its writer may be one of another machine, whose numbers mean nothing here.
    The lock goes with the writer, however that ends. False where another one has it."""
    try:
        import fcntl

        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pass  # Windows, or a file system without locks
    return True


def _remove_unclaimed(path: Path) -> None:
    with contextlib.suppress(OSError), open_regular(path) as stream:
        if _claim(stream):
            path.unlink()


def write_cache(path: Path, data: bytes | str) -> None:
    """As `write_atomically`, making the folder; a cache that cannot be written is no reason to fail."""
    with contextlib.suppress(OSError):
        write_atomically(path, data, durable=False, parents=True)


def move_over(temporary: Path, path: Path, *, durable: bool = True) -> None:
    """Rename a finished file to its name, over what was there.

    Raises:
        OSError
    """
    temporary.replace(path)
    if durable:
        sync_folder(path.absolute().parent)


def flush(stream: IO[Any]) -> None:
    """Everything that was written to `stream` is on the disk when this returns."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on the disk when this returns."""
    if os.name == "nt":
        return  # Windows has no descriptors of folders
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Every regular file below `folder`, and every folder with its names, is on the disk when this returns."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in sorted(names):
            with contextlib.suppress(NotRegularError), open_regular(os.path.join(place, name)) as stream:  # noqa: PTH118
                os.fsync(stream.fileno())
        sync_folder(Path(place))


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it, or whatever stands under its name; what resists stays.

    `shutil.rmtree` opens what it removes: for a pipe that waits without end.
    """
    import shutil

    with contextlib.suppress(OSError):
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return
    shutil.rmtree(path, ignore_errors=True)


def new_digest() -> Digest:
    """A sha256 to feed piece by piece."""
    import hashlib  # loads OpenSSL, which takes longer than reading an adapter

    return hashlib.sha256()


def digest(data: bytes | str) -> str:
    """The sha256 in hex; of a text as UTF-8."""
    found = new_digest()
    found.update(data.encode("utf-8") if isinstance(data, str) else data)
    return found.hexdigest()


def digest_of_file(file: Place | str, progress: Callable[[int], None] | None = None) -> str:
    """The sha256 of a regular file, in hex; of a remote one as its repository tells it, without reading it.

    `progress` gets the number of bytes of each block.

    Raises:
        OSError: as `open_regular`.
    """
    known = getattr(file, "sha256", None)
    if isinstance(known, str):
        return known
    found = new_digest()
    with open_file(file) as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
            if progress is not None:
                progress(len(block))
    return found.hexdigest()


def knows_algorithm(name: str) -> bool:
    """Whether every Python can make this digest; those of variable length are none that files are compared by."""
    import hashlib

    return name in hashlib.algorithms_guaranteed and not name.startswith("shake")


def digest_by(algorithm: str, file: Path | str) -> str:
    """The digest of a regular file, in hex, under an algorithm that somebody else chose (see `knows_algorithm`).

    Raises:
        OSError: as `open_regular`.
    """
    import hashlib

    with open_regular(file) as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _read(stream: IO[bytes], count: int, file: Place | str) -> bytes:
    """Files of /proc/kmsg's kind call themselves regular and have a reader wait, which gives None where it does not."""
    data: bytes | None = stream.read(count)
    if data is None:
        raise NotRegularError(errno.EINVAL, "not a regular file: it waits for a writer", str(file))
    return data


def _refuse_others(mode: int, file: Path | str) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise NotRegularError(errno.EISDIR, "a folder, not a regular file", str(file))
    words = next((words for is_kind, words in _KINDS if is_kind(mode)), "not a regular file")
    raise NotRegularError(errno.EINVAL, words, str(file))


def _too_large(file: Place, limit: int) -> TooLargeError:
    return TooLargeError(errno.EFBIG, f"more than the {counted(limit, 'byte')} that envpin reads", str(file))
