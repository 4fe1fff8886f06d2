"""The files that datasets were made of, digested when the run is over: each once, if it still is what was loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.core.files import digest_of_file

if TYPE_CHECKING:
    from envpin.manifest.training import DataFile, DatasetInfo

# Ten seconds of a core; larger data is known by its size and time, and by the digests of its batches.
_MOST = 8 * 1024**3


class DataDigests:
    """`complete` datasets; `faults` are why some files have no digest, one line each."""

    def __init__(self) -> None:
        self._done: dict[tuple[str, DataFile], str | None] = {}
        self._left = _MOST
        self.faults: list[str] = []

    def complete(self, datasets: tuple[DatasetInfo, ...]) -> tuple[DatasetInfo, ...]:
        return tuple(
            msgspec.structs.replace(one, files={name: self._of(name, file) for name, file in one.files.items()})
            for one in datasets
        )

    def _of(self, name: str, file: DataFile) -> DataFile:
        if file.size is None or file.sha256 is not None:
            return file
        key = (name, file)
        if key not in self._done:
            self._done[key] = self._digest(Path(name), file)
        return msgspec.structs.replace(file, sha256=self._done[key])

    def _digest(self, path: Path, file: DataFile) -> str | None:
        try:
            status = path.stat()
            if (status.st_size, status.st_mtime_ns) != (file.size, file.changed):
                self.faults.append(f"`{path}` is no longer the file that the run loaded: it has no digest")
                return None
            if status.st_size > self._left:
                return None
            self._left -= status.st_size
            return digest_of_file(path)
        except OSError as failed:
            self.faults.append(f"digesting `{path}`: {failed}")
            return None
