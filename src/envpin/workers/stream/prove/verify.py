"""What was written, read back from disk and proved: header, untouched bytes, finite values, recomputed rows,
digests."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import threading
from typing import Dict, List, Optional, Tuple

from ...protocol import KnownError, write_json
from ...results import Recomputed
from ...runtime.bits import equal_bits
from ..io.files import IndexDocument, OutputFile, Segment, read_header, torch_dtype
from ..io.reader import Reader, memory_of, read_into
from ..io.write import ShardEntry, TensorCheck, WrittenTensors, pieces
from ..plan import StreamPlan
from .checksum import add_blocks, written_form

_PIECE = 1 << 22
# So much is left for the last `fsync` of a file, which nothing else can be done during.
_FLUSH = 1 << 26


class ShardVerifier:
    """Verifies shards, `at_once` of them at a time: buffers belong to a thread. With `hash_apart` each is hashed by a
    second thread while the first compares: a digest is what takes longest. Where there are two cores the merge keeps
    both, and a second thread only costs, until everything is written."""

    def __init__(self, plan: StreamPlan, reader: Reader, *, at_once: int, hash_apart: bool) -> None:
        self._plan = plan
        self._reader = reader
        self._local = threading.local()
        self.hash_apart = hash_apart
        self._hashing = concurrent.futures.ThreadPoolExecutor(max_workers=at_once)
        self._flushing = concurrent.futures.ThreadPoolExecutor(max_workers=at_once)

    def close(self) -> None:
        self._hashing.shutdown()
        self._flushing.shutdown()

    def verify(self, file: OutputFile, path: str, written: WrittenTensors) -> ShardEntry:
        """Read a file while it is written, and make it durable: every byte once for its digest and its equality with
        the base, then, after the page cache has let go of it where the system allows asking, the header from the disk
        itself. The rows that are recomputed afterwards come from the disk too.

        Raises:
            KnownError: `verification-failed`, naming the tensor and what is wrong with it; `not-finite`.
            concurrent.futures.CancelledError: the rest of the file is not going to be written.
        """
        # Windows flushes only what was opened for writing.
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        flushing: Optional[concurrent.futures.Future[None]] = None
        try:
            digest = hashlib.sha256(file.header)
            tensors: Dict[str, Tuple[str, str, int, int]] = {}
            untouched = dequantized = unflushed = 0
            for segment in file.segments:
                written.wait(segment.name)
                unflushed += segment.size
                if unflushed > _FLUSH and (flushing is None or flushing.done()):
                    _raise_from(flushing)
                    flushing, unflushed = self._flushing.submit(os.fsync, descriptor), 0
                checksum = self._read_segment(segment, descriptor, path, digest)
                tensors[segment.name] = (file.name, written_form(checksum), segment.offset, segment.size)
                decoded = segment.operation is None and segment.origin.decoder is not None
                untouched += segment.operation is None and not decoded
                dequantized += decoded
            _raise_from(flushing)
            os.fsync(descriptor)
            if os.fstat(descriptor).st_size != file.size:
                raise _failed("`%s` does not have the planned size" % path, path=path)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            concurrent.futures.wait([] if flushing is None else [flushing])  # the number is another file's afterwards
            os.close(descriptor)
        self._check_header(file, path)
        return ShardEntry(file.name, digest.hexdigest(), file.size, tensors, untouched, dequantized, ())

    def _check_header(self, file: OutputFile, path: str) -> None:
        with open(path, "rb") as stream:
            if stream.read(len(file.header)) != file.header:
                raise _failed("the header of `%s` is not what was written" % path, path=path)
        found = [(one.name, one.dtype, one.shape, one.offset, one.size) for one in read_header(path).tensors]
        wanted = [(one.name, one.dtype, one.shape, one.offset, one.size) for one in file.segments]
        if sorted(found) != sorted(wanted):
            raise _failed("the header of `%s` does not list the planned tensors" % path, path=path)

    def _read_segment(self, segment: Segment, descriptor: int, path: str, digest: hashlib._Hash) -> int:
        ours, theirs = self._buffers()
        checksum, at = 0, 0
        source = segment.source
        hashing: Optional[concurrent.futures.Future[None]] = None
        while at < segment.size:
            count = min(_PIECE, segment.size - at)
            piece = memoryview(ours)[:count]
            read_into(descriptor, piece, segment.offset + at, path)
            if self.hash_apart:
                hashing = self._hashing.submit(digest.update, piece)
            else:
                digest.update(piece)
            try:
                checksum = add_blocks(piece, checksum)
                if source == "base":
                    self._compare(segment, at, piece, memoryview(theirs)[:count], path)
                elif source == "operation" and not _all_finite(piece, segment.dtype):
                    message = "`%s` holds values that are not finite" % segment.name
                    raise KnownError("not-finite", message, path=path, tensor=segment.name)
            finally:
                if hashing is not None:
                    hashing.result()  # before the buffer is used again
            at += count
        if source == "cast":
            self._check_cast(segment, descriptor, path)
        return checksum

    def _compare(self, segment: Segment, at: int, piece: memoryview, other: memoryview, path: str) -> None:
        import torch

        origin = segment.origin
        read_into(self._reader.descriptor(origin.path), other, origin.offset + at, origin.path)
        found, wanted = (torch.frombuffer(buffer, dtype=torch.uint8) for buffer in (piece, other))
        if not equal_bits(found, wanted):
            message = "`%s` should be untouched, and differs from the base" % segment.name
            raise _failed(message, path=path, tensor=segment.name)

    def _check_cast(self, segment: Segment, descriptor: int, path: str) -> None:
        import torch

        dtype = torch_dtype(segment.dtype)
        for first, piece in pieces(self._reader, segment.origin):
            wanted = piece.to(dtype)
            found = torch.empty_like(wanted)
            read_into(descriptor, memory_of(found), segment.offset + first * wanted.element_size(), path)
            if not equal_bits(found, wanted):
                raise _failed(
                    "`%s` is not the base's tensor in %s" % (segment.name, segment.dtype),
                    path=path,
                    tensor=segment.name,
                )

    def _buffers(self) -> Tuple[bytearray, bytearray]:
        if not hasattr(self._local, "buffers"):
            self._local.buffers = (bytearray(_PIECE), bytearray(_PIECE))
        found: Tuple[bytearray, bytearray] = self._local.buffers
        return found


def _raise_from(flushing: Optional[concurrent.futures.Future[None]]) -> None:
    """The kernel tells an error of writing back to one `fsync` only: the last one would know nothing of it."""
    if flushing is not None:
        flushing.result()


def _all_finite(piece: memoryview, dtype: str) -> bool:
    import torch

    wanted = torch_dtype(dtype)
    if not wanted.is_floating_point or "float8" in str(wanted):
        return True
    values = torch.frombuffer(piece, dtype=wanted)
    # A sum is finite only if all of them are. One that is not may have left the range; the smallest and the largest are
    # finite exactly if all are (NaN is both, where there is one). Both are found many times quicker than `isfinite` of
    # each, and the sum of bfloat16 twice as quick as the extremes.
    if wanted is torch.bfloat16 and bool(torch.isfinite(values.sum())):
        return True
    return bool(torch.isfinite(torch.stack(torch.aminmax(values))).all())


def write_index(plan: StreamPlan, folder: str, document: IndexDocument) -> Optional[str]:
    """Write the index, read it back and hold it against the files; returns its digest, or None where there is none."""
    if plan.index_name is None:
        return None
    path = os.path.join(folder, plan.index_name)
    write_json(path, {**document})
    with open(path, "rb") as stream:
        data = stream.read()
    found = json.loads(data.decode("utf-8"))
    headers = [(file.name, read_header(os.path.join(folder, file.name))) for file in plan.files]
    there = {one.name: name for name, header in headers for one in header.tensors}
    size = sum(one.size for _, header in headers for one in header.tensors)
    if found["weight_map"] != there or found["metadata"]["total_size"] != size:
        raise _failed("the index of `%s` does not list what its files hold" % folder, path=path)
    return hashlib.sha256(data).hexdigest()


def _failed(message: str, **data: object) -> KnownError:
    return KnownError("verification-failed", message, **data)


def tally(results: List[TensorCheck]) -> Tuple[Recomputed, Tuple[str, ...]]:
    """The figures of all shards and recomputed operations, and the tensors that are equal to the bit."""
    worst = max([result.worst for result in results] or [0.0])
    recomputed = Recomputed(tensors=len(results), rows=sum(result.rows for result in results), worst=worst)
    return recomputed, tuple(sorted(result.tensor for result in results if result.exact))
