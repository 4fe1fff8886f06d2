"""Writing the output: unchanged bytes file to file, changed tensors at their place, one shard after another.

A shard is written as `NAME.part`, read back and verified tensor by tensor while the others are written, made durable,
renamed, and only then entered in the journal,
so that a run that was killed can go on behind the last whole shard. The staging folder as a whole counts for nothing
until the caller renames it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import hashlib
import json
import os
import threading
from typing import IO, TYPE_CHECKING, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

from ...protocol import Events, KnownError
from ...runtime.device import fetch, own_stream
from ...wire import decode, encode
from ..layers import Merger
from ..operations import Operation
from ..plan import StreamPlan
from .files import OutputFile, Segment, StoredTensor, torch_dtype
from .reader import Buffer, Reader, memory_of, read_into

if TYPE_CHECKING:
    import torch

JOURNAL = ".envpin-stream-journal"
_COPY_PIECE = 1 << 26
_BUFFER = 1 << 22
_FICLONE = 0x40049409  # linux/fs.h


class WriteProgress:
    """Bytes and tensors of the output that are done, told to the events from any thread."""

    def __init__(self, events: Events, total: int, tensors: int) -> None:
        self._events = events
        self._total = total
        self._tensors = tensors
        self._done = 0
        self._done_tensors = 0
        self._lock = threading.Lock()

    def add(self, count: int, *, tensors: int = 0) -> None:
        with self._lock:
            self._done += count
            self._done_tensors += tensors
            label = "%d of %d tensors" % (self._done_tensors, self._tensors)
            self._events.progress("stream", self._done, self._total, "B", label)


class WrittenTensors:
    """Which tensors of one shard are in its file, so that they are read back while the others are still made."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._names: Set[str] = set()
        self._over = self._all = False

    def add(self, names: Iterable[str]) -> None:
        with self._changed:
            self._names.update(names)
            self._changed.notify_all()

    def end(self, *, complete: bool) -> None:
        """Nothing more is going to be written: either everything is there, or the rest will never be. Said once; what
        is said later changes nothing."""
        with self._changed:
            if not self._over:
                self._over, self._all = True, complete
            self._changed.notify_all()

    def wait(self, name: str) -> None:
        """Return once the tensor is in the file.

        Raises:
            concurrent.futures.CancelledError: it will never be.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._over or name in self._names)
            if not self._all and name not in self._names:
                raise concurrent.futures.CancelledError


class TensorCheck(NamedTuple):
    """One changed tensor: rows recomputed, the largest error in units of what rounding allows, or equal to the bit."""

    tensor: str
    rows: int
    worst: float
    exact: bool


class ShardEntry(NamedTuple):
    """A finished shard: its digest, where its tensors lie (file, checksum, offset, size), how many are the base's bytes
    or its decoded values, and what was checked of the changed ones."""

    file: str
    sha256: str
    size: int
    tensors: Dict[str, Tuple[str, str, int, int]]
    untouched: int
    dequantized: int
    results: Tuple[TensorCheck, ...]


class ShardJournal:
    """The finished shards of one plan, a JSON line each. The file is locked while a merge writes into the folder."""

    def __init__(self, folder: str, plan_digest: str, resume: bool) -> None:
        self._path = os.path.join(folder, JOURNAL)
        self._digest = plan_digest
        self._stream = open(self._path, "a+b")  # noqa: SIM115 (held, and locked, until `close`)
        try:
            _lock(self._stream, folder)
        except KnownError:
            self._stream.close()
            raise
        self.finished: Dict[str, ShardEntry] = self._read() if resume else {}
        if not resume:
            self._stream.truncate(0)

    def _read(self) -> Dict[str, ShardEntry]:
        self._stream.seek(0)
        found: Dict[str, ShardEntry] = {}
        for line in self._stream.read().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, KnownError):
                document = json.loads(line.decode("utf-8"))  # the last line may be torn
                if document.pop("plan") == self._digest:
                    entry = decode(ShardEntry, document)
                    found[entry.file] = entry
        return found

    def add(self, entry: ShardEntry) -> None:
        document = encode(entry)
        line = json.dumps({"plan": self._digest, **(document if isinstance(document, dict) else {})}) + "\n"
        # A torn line of a killed run must not swallow this one.
        self._stream.write(b"\n" + line.encode("utf-8"))
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self, *, remove: bool) -> None:
        if remove:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        self._stream.close()


def _lock(stream: IO[bytes], folder: str) -> None:
    try:
        import fcntl
    except ImportError:
        return  # Windows: the caller's own lock on the destination has to do
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            return  # a file system without locks
        raise KnownError("output-busy", "another merge is writing into `%s`" % folder, path=folder) from error


def check_space(plan: StreamPlan, folder: str, finished: Dict[str, ShardEntry], sample: Optional[str]) -> None:
    """Refuse before the first byte where the output cannot fit.

    Raises:
        KnownError: `disk-full`, with the bytes needed and free.
    """
    if not hasattr(os, "statvfs"):
        return
    shared = sample is not None and _can_share_blocks(sample, folder)
    needed = 0
    for file in plan.files:
        if file.name not in finished:
            needed += sum(one.size for one in file.segments if not (shared and one.source == "base")) + len(file.header)
    left = os.statvfs(folder)
    free = left.f_bavail * left.f_frsize
    already = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder) if name.endswith(".part"))
    if needed > free + already:
        raise KnownError(
            "disk-full",
            "the merged model needs %.2f GB and `%s` has %.2f GB free" % (needed / 1e9, folder, free / 1e9),
            path=folder, needed=needed, free=free,
        )  # fmt: skip


def _can_share_blocks(sample: str, folder: str) -> bool:
    """Whether the file system clones `sample` into the folder without copying (btrfs, xfs with reflinks, …)."""
    probe = os.path.join(folder, ".envpin-clone-probe")
    try:
        import fcntl

        with open(sample, "rb") as source, open(probe, "wb") as target:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        return True
    except (ImportError, OSError):
        return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(probe)


def copy_range(source: int, target: int, offset_in: int, offset_out: int, count: int) -> Iterator[int]:
    """Copy bytes between descriptors, in the kernel where it can, and tell after each piece how many were copied."""
    in_kernel = hasattr(os, "copy_file_range")
    buffer = bytearray()
    while count:
        if in_kernel:
            try:
                done = os.copy_file_range(source, target, min(count, _COPY_PIECE), offset_in, offset_out)
            except OSError as error:
                if error.errno not in (
                    errno.EXDEV,
                    errno.EINVAL,
                    errno.ENOSYS,
                    errno.EOPNOTSUPP,
                    errno.EPERM,
                    errno.EBADF,
                ):
                    raise
                in_kernel = False  # another file system, or one that cannot
                continue
            if done == 0:
                in_kernel = False  # some file systems say nothing was copied instead of failing
                continue
        else:
            buffer = buffer or bytearray(_BUFFER)
            done = min(count, _BUFFER)
            piece = memoryview(buffer)[:done]
            read_into(source, piece, offset_in, "the base")
            write_all(target, piece, offset_out)
        offset_in += done
        offset_out += done
        count -= done
        yield done


def write_all(target: int, buffer: Union[Buffer, bytes], offset: int) -> None:
    view = memoryview(buffer).cast("B")
    while len(view):
        count = os.pwrite(target, view, offset)
        view = view[count:]
        offset += count


class _Filling(NamedTuple):
    descriptor: int
    segments: Dict[str, Segment]
    written: WrittenTensors


class Writer:
    """Writes the shards of a plan. `threads` operations run at once."""

    def __init__(
        self, plan: StreamPlan, merger: Merger, reader: Reader, *, folder: str, progress: WriteProgress, threads: int
    ) -> None:
        self._plan = plan
        self._merger = merger
        self._reader = reader
        self._folder = folder
        self._progress = progress
        self._threads = threads

    def begin(self, file: OutputFile) -> str:
        """Make the file of a shard, with its header and room for its tensors; returns the path, which ends `.part`."""
        path = os.path.join(self._folder, file.name + ".part")
        target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o644)
        try:
            os.ftruncate(target, file.size)
            write_all(target, file.header, 0)
        finally:
            os.close(target)
        return path

    def fill(self, file: OutputFile, path: str, written: WrittenTensors) -> None:
        """Write the tensors of a shard that `begin` made. The verification makes it durable."""
        complete = False
        try:
            target = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
            try:
                self._fill(_Filling(target, {segment.name: segment for segment in file.segments}, written), file)
            finally:
                os.close(target)
            complete = True
        finally:
            written.end(complete=complete)

    def _fill(self, into: _Filling, file: OutputFile) -> None:
        # In the order of the file, in which it is read back meanwhile.
        numbers = list(dict.fromkeys(one.operation for one in file.segments if one.operation is not None))
        with concurrent.futures.ThreadPoolExecutor(max_workers=self._threads) as pool:
            jobs = [pool.submit(self._copy, into, file.segments)]
            jobs += [pool.submit(self._operate, into, self._plan.operations[number]) for number in numbers]
            try:
                for job in concurrent.futures.as_completed(jobs):
                    job.result()
            except BaseException:
                for job in jobs:
                    job.cancel()
                raise

    def _operate(self, into: _Filling, one: Operation) -> None:
        import torch

        target, segments, written = into

        def sink(name: str, element: int, tensor: torch.Tensor) -> None:
            segment = segments.get(name)
            if segment is None:
                return  # another output of this operation lies in another shard
            dtype = torch_dtype(segment.dtype)
            ready = fetch(tensor.to(dtype))
            if ready.numel():
                write_all(target, memory_of(ready), segment.offset + element * ready.element_size())
            self._progress.add(ready.numel() * ready.element_size())

        with torch.no_grad(), own_stream(self._merger.device):
            self._merger.run(one, sink)
        here = [output.name for output in one.outputs if output.name in segments]
        written.add(here)
        self._progress.add(0, tensors=len(here))

    def _copy(self, into: _Filling, segments: List[Segment]) -> None:
        target = into.descriptor
        for run in copy_runs(segments):
            if run[0].source == "cast":
                self._cast(run[0], target)
                into.written.add([run[0].name])
                continue
            origin = run[0].origin
            source = self._reader.descriptor(origin.path)
            size = sum(segment.size for segment in run)
            for done in copy_range(source, target, origin.offset, run[0].offset, size):
                self._progress.add(done)
            into.written.add(segment.name for segment in run)
            self._progress.add(0, tensors=len(run))

    def _cast(self, segment: Segment, target: int) -> None:
        dtype = torch_dtype(segment.dtype)
        for first, piece in pieces(self._reader, segment.origin):
            ready = piece.to(dtype)
            write_all(target, memory_of(ready), segment.offset + first * ready.element_size())
            self._progress.add(ready.numel() * ready.element_size())
        self._progress.add(0, tensors=1)


def pieces(reader: Reader, tensor: StoredTensor) -> Iterator[Tuple[int, torch.Tensor]]:
    """A stored tensor in runs of rows of a few MB: (element offset, tensor)."""
    if not tensor.shape or not tensor.size or (tensor.decoder is not None and tensor.decoder.whole_only):
        yield 0, reader.whole(tensor)
        return
    rows = tensor.shape[0]
    width = max(1, tensor.size // rows)
    step = max(1, _BUFFER // width)
    elements = 1
    for extent in tensor.shape[1:]:
        elements *= extent
    for first in range(0, rows, step):
        yield first * elements, reader.rows(tensor, first, min(rows, first + step))


def copy_runs(segments: List[Segment]) -> Iterator[List[Segment]]:
    """Untouched segments grouped so that each group is one run of bytes in the base and in the output."""
    run: List[Segment] = []
    for segment in segments:
        if segment.source == "operation" or segment.size == 0:
            continue
        if run and segment.source == "base" and run[0].source == "base" and _follows(run[-1], segment):
            run.append(segment)
            continue
        if run:
            yield run
        run = [segment]
    if run:
        yield run


def _follows(one: Segment, other: Segment) -> bool:
    here, there = one.origin, other.origin
    joined = here.path == there.path and here.offset + here.size == there.offset
    return joined and one.offset + one.size == other.offset


def digest_of(path: str) -> str:
    digest = hashlib.sha256()
    buffer = bytearray(_BUFFER)
    with open(path, "rb") as stream:
        while True:
            count = stream.readinto(buffer)
            if not count:
                return digest.hexdigest()
            digest.update(memoryview(buffer)[:count])


def sync_folder(folder: str) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
