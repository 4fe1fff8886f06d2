"""The bytes of single tensors, out of the files of one folder."""

from __future__ import annotations

import contextlib
from typing import IO, TYPE_CHECKING

from envpin.core.files import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.checkpoint.formats.safetensors import Tensor

_BLOCK = 4 * 1024**2


class TensorReader(contextlib.ExitStack):
    """The open files of one folder; `with` closes them."""

    def __init__(self, folder: Checkpoint) -> None:
        super().__init__()
        self._folder = folder
        self._open: dict[str, IO[bytes]] = {}

    def blocks(self, tensor: Tensor, limit: int | None = None) -> Iterator[bytes]:
        """A tensor's bytes, or the first `limit` of them.

        Raises:
            OSError: the file cannot be read, or ends inside the tensor.
        """
        if tensor.file not in self._open:
            self._open[tensor.file] = self.enter_context(open_file(self._folder.files / tensor.file))
        stream = self._open[tensor.file]
        at, end = tensor.start, tensor.end if limit is None else min(tensor.end, tensor.start + limit)
        while at < end:
            stream.seek(at)
            wanted = min(_BLOCK, end - at)
            block = stream.read(wanted)
            if len(block) < wanted:
                raise OSError(f"`{tensor.file}` ends inside a tensor")
            at += len(block)
            yield block
