"""The whole weights of a local base, digested when the run is over: a save inside it only has the time for a sample.

Each file is digested once for all manifests of a run. A file whose sample is not the one that the run took is another
one by now: it gets no digest.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.core.files import digest_of_file
from envpin.core.sizes import size_words
from envpin.manifest.types import WeightSample
from envpin.recording.injected import hook

if TYPE_CHECKING:
    from collections.abc import Callable

    from envpin.manifest.types import BaseModel

# sha256 runs at 0.5 to 2 GB/s of a core: from here on a person is told what takes so long.
_TOLD = 4_000_000_000
_THREADS = 4  # more of them only wait for the disk


class _StoppedError(Exception):
    """Somebody pressed Ctrl-C."""


class BaseDigests:
    """`complete` bases; `faults` are why some have no digests, one line each. `tell` hears what takes long."""

    def __init__(self, tell: Callable[[str], None] = lambda _: None) -> None:
        self._tell = tell
        self._done: dict[Path, tuple[WeightSample, str | None]] = {}
        self._stop = threading.Event()
        self.faults: list[str] = []

    def complete(self, base: BaseModel) -> BaseModel:
        """`base` with a digest for each of its sampled files that is still what was loaded."""
        if base.path is None:
            return base
        folder = Path(base.path)
        wanted = {folder / name: one for name, one in base.weights.items() if name not in base.files}
        fresh = [(path, one) for path, one in wanted.items() if self._done.get(path, (None,))[0] != one]
        try:
            self._digest(fresh)
        except KeyboardInterrupt:  # the run is over: its status is the answer, and not ours
            self._stop.set()
            self.faults.append(f"interrupted: the weights of the base in `{folder}` were not all digested")
        digests = {
            path.name: digest for path in wanted if (digest := self._done.get(path, (None, None))[1]) is not None
        }
        return msgspec.structs.replace(base, files={**base.files, **digests}) if digests else base

    def _digest(self, files: list[tuple[Path, WeightSample]]) -> None:
        if not files or self._stop.is_set():
            return
        size = sum(one.size for _, one in files)
        if size >= _TOLD:
            self._tell(f"digesting the weights of the base: {size_words(size)} (Ctrl-C leaves them out)")
        with ThreadPoolExecutor(max_workers=min(_THREADS, os.cpu_count() or 1, len(files))) as pool:
            try:
                for (path, one), digest in zip(files, pool.map(self._of, files), strict=True):
                    self._done[path] = (one, digest)
            except BaseException:
                self._stop.set()  # before the pool is waited for
                raise

    def _of(self, file: tuple[Path, WeightSample]) -> str | None:
        path, known = file
        try:
            before = path.stat()
            if msgspec.convert(hook("artefacts").sample(str(path)), WeightSample) != known:
                self.faults.append(f"`{path}` is no longer the file that the run loaded: it has no digest")
                return None
            digest = digest_of_file(path, self._go_on)
            after = path.stat()
        except _StoppedError:
            return None
        except (OSError, ValueError, ArithmeticError) as failed:
            self.faults.append(f"digesting `{path}`: {failed}")
            return None
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            self.faults.append(f"`{path}` changed while it was digested: it has no digest")
            return None
        return digest

    def _go_on(self, _: int) -> None:
        if self._stop.is_set():
            raise _StoppedError
