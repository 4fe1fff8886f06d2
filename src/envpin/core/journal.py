"""An append-only file of JSON lines: each is on disk before the next thing begins, whatever moment a kill comes at.

A last line that was cut short does not count, and the next record takes its place.
"""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

from envpin.core.errors import DiskFullError, InfrastructureError, InputError
from envpin.core.files import flush, read_bounded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# A line has some KB, and a search some hundred lines. Logs are handed on, so that others may go on from them.
_MAX_BYTES = 512_000_000


class Journal:
    """One file, written by one process at a time. Opening reads what is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, object]] = []
        self._good_bytes = 0
        if path.exists():
            self.records, self._good_bytes = read_journal(path)

    def append(self, record: Mapping[str, object]) -> dict[str, object]:
        """Write one record and make sure that it is on disk.

        Raises:
            DiskFullError, InfrastructureError
        """
        kept = dict(record)
        # A name that is no text has half letters in it, which JSON can escape.
        line = (json.dumps(kept, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("r+b" if self.path.exists() else "w+b") as stream:
                stream.truncate(self._good_bytes)
                stream.seek(self._good_bytes)
                stream.write(line)
                flush(stream)
        except OSError as fault:
            raise _trouble(fault, self.path) from fault
        self._good_bytes += len(line)
        self.records.append(kept)
        return kept


def read_journal(path: Path) -> tuple[list[dict[str, object]], int]:
    """Every whole record, and how many bytes they take.

    Raises:
        InputError: it cannot be read, or a line other than the last is damaged.
    """
    try:
        data = read_bounded(path, _MAX_BYTES)
    except OSError as fault:
        raise InputError(f"`{path}` cannot be read: {fault.strerror}", path=path) from fault
    records: list[dict[str, object]] = []
    good = 0
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get("event"), str):
                raise ValueError("not a record")  # noqa: TRY004  one kind of damage, one handler
        except (ValueError, RecursionError) as fault:
            if number == len(lines) - 1:
                break  # cut short by a kill; the newline came from a later block of the file
            raise InputError(
                f"line {number} of `{path}` is damaged", path=path, hint="cut the log before that line, or remove it"
            ) from fault
        records.append(record)
        good += len(line) + 1
    return records, good


def _trouble(fault: OSError, path: Path) -> InfrastructureError:
    if fault.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(f"no space left to write `{path}`", hint="free some space and run the same command again")
    return InfrastructureError(f"`{path}` cannot be written: {fault.strerror}")
