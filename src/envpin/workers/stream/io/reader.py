"""Reading stored tensors, whole or by rows, straight into memory of torch."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import threading
from typing import TYPE_CHECKING, Callable, Dict, Optional, Sequence, Tuple, Union

from ...protocol import KnownError
from .files import StoredTensor, torch_dtype

if TYPE_CHECKING:
    import torch

# Memory that is read into or written from.
Buffer = Union[memoryview, "ctypes.Array[ctypes.c_char]"]


def memory_of(tensor: torch.Tensor) -> Buffer:
    """The bytes of a contiguous CPU tensor as a writable buffer, without numpy (which old environments may lack)."""
    size = tensor.numel() * tensor.element_size()
    memory: Buffer = (ctypes.c_char * size).from_address(tensor.data_ptr())
    return memory


class Reader:
    """Reads stored tensors, or runs of their rows, by position. Threads share the descriptors. `pinned` memory is what
    a GPU copies from by itself."""

    def __init__(self, *, pinned: bool = False) -> None:
        self._pinned = pinned
        self._descriptors: Dict[str, int] = {}
        self._lock = threading.Lock()
        self._remembering = threading.Lock()
        self._last: Optional[Tuple[str, torch.Tensor]] = None

    def descriptor(self, path: str) -> int:
        with self._lock:
            if path not in self._descriptors:
                self._descriptors[path] = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            return self._descriptors[path]

    def rows(self, tensor: StoredTensor, first: int, last: int) -> torch.Tensor:
        """Rows [first, last) of a stored tensor in its own dtype."""
        import torch

        if tensor.decoder is not None:
            return tensor.decoder.rows(self, first, last)
        shape = (last - first, *tensor.shape[1:])
        empty = torch.empty(shape, dtype=torch_dtype(tensor.dtype), pin_memory=self._pinned)
        width = tensor.size // tensor.shape[0] if tensor.shape[0] else 0
        read_into(self.descriptor(tensor.path), memory_of(empty), tensor.offset + first * width, tensor.path)
        return empty

    def some_rows(self, tensor: StoredTensor, rows: Sequence[int]) -> torch.Tensor:
        """Single rows of a stored tensor, in the order asked for."""
        import torch

        if tensor.decoder is not None:
            return torch.cat([self.rows(tensor, row, row + 1) for row in rows])
        found = torch.empty((len(rows), *tensor.shape[1:]), dtype=torch_dtype(tensor.dtype))
        width = tensor.size // tensor.shape[0] if tensor.shape[0] else 0
        memory, descriptor = memoryview(memory_of(found)).cast("B"), self.descriptor(tensor.path)
        for at, row in enumerate(rows):
            read_into(descriptor, memory[at * width : (at + 1) * width], tensor.offset + row * width, tensor.path)
        return found

    def foresee(self, tensor: StoredTensor, rows: Sequence[int]) -> None:
        """Have the system read these rows ahead, where it can be asked. Nothing waits for it."""
        if tensor.decoder is None and hasattr(os, "posix_fadvise"):
            width = tensor.size // tensor.shape[0] if tensor.shape[0] else 0
            for row in rows:
                begin = tensor.offset + row * width
                os.posix_fadvise(self.descriptor(tensor.path), begin, width, os.POSIX_FADV_WILLNEED)

    def whole(self, tensor: StoredTensor) -> torch.Tensor:
        import torch

        if tensor.shape and tensor.size:
            return self.rows(tensor, 0, tensor.shape[0])
        empty = torch.empty(tensor.shape, dtype=torch_dtype(tensor.dtype))
        if tensor.size:
            read_into(self.descriptor(tensor.path), memory_of(empty), tensor.offset, tensor.path)
        return empty

    def mapped(self, tensor: StoredTensor, first: int = 0, last: Optional[int] = None) -> torch.Tensor:
        """Rows [first, last) of a tensor as they lie in the page cache, for a caller that converts them at once:
        reading them first would copy every byte once more, into pages that the system has to empty beforehand. Not to
        be written to. A file that is cut short meanwhile ends the process, as with every mapping.

        Raises:
            KnownError: `truncated`.
        """
        import torch

        count = math.prod(tensor.shape)
        if not tensor.shape or not count:
            return self.whole(tensor)
        last = tensor.shape[0] if last is None else last
        if first == last or tensor.offset % (tensor.size // count):
            return self.rows(tensor, first, last)  # nothing to map, or it lies across the words of the memory
        shape = (last - first, *tensor.shape[1:])
        width = tensor.size // tensor.shape[0]
        begin, end = tensor.offset + first * width, tensor.offset + (first + shape[0]) * width
        descriptor = self.descriptor(tensor.path)
        if os.fstat(descriptor).st_size < end:
            raise _truncated(tensor.path)
        start = begin - begin % mmap.ALLOCATIONGRANULARITY
        view = mmap.mmap(descriptor, end - start, offset=start, access=mmap.ACCESS_COPY)
        dtype = torch_dtype(tensor.dtype)
        return torch.frombuffer(view, dtype=dtype, count=math.prod(shape), offset=begin - start).reshape(shape)

    def bytes_of(self, tensor: StoredTensor, first: int, last: int) -> torch.Tensor:
        """Bytes [first, last) of a stored tensor, whatever its dtype."""
        import torch

        empty = torch.empty(last - first, dtype=torch.uint8)
        read_into(self.descriptor(tensor.path), memory_of(empty), tensor.offset + first, tensor.path)
        return empty

    def remembered(self, name: str, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """What `make` gives, kept until another name is asked for: a weight that can only be decoded whole."""
        with self._remembering:
            if self._last is None or self._last[0] != name:
                self._last = None  # before the next is made, so that two are never held
                self._last = (name, make())
            return self._last[1]

    def close(self) -> None:
        self._last = None
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors = {}


def read_into(descriptor: int, buffer: Buffer, offset: int, path: str) -> None:
    view = memoryview(buffer).cast("B")
    while len(view):
        if hasattr(os, "preadv"):
            count = os.preadv(descriptor, [view], offset)
        else:
            piece = os.pread(descriptor, len(view), offset)
            count = len(piece)
            view[:count] = piece
        if count == 0:
            raise _truncated(path)
        view = view[count:]
        offset += count


def _truncated(path: str) -> KnownError:
    return KnownError("truncated", "`%s` ended while it was read" % path, path=path)
