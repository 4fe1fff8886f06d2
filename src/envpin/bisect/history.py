"""The state of a search on disk: an append-only log, and a cache of verdicts across searches.

Each line of a log is one JSON object, written and fsynced before the next step begins, so whatever moment a search is
killed at, what had finished is there. A last line that was cut short is not counted and is overwritten.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpin.errors import DiskFullError, InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1


class Log:
    """The log of one search. Opening reads what is there; `append` makes it longer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        self._good_bytes = 0
        if path.exists():
            self.records, self._good_bytes = read_records(path)

    def append(self, event: str, **fields: Any) -> dict[str, Any]:
        """Write one record and make sure that it is on disk.

        Raises:
            DiskFullError, InfrastructureError
        """
        record = {"event": event, "at": now(), **fields}
        if not self.records and event != "question":
            raise ValueError("a log begins with its question")
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("r+b" if self.path.exists() else "w+b") as stream:
                stream.truncate(self._good_bytes)
                stream.seek(self._good_bytes)
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as fault:
            raise _trouble(fault, self.path) from fault
        self._good_bytes += len(line)
        self.records.append(record)
        return record

    def last(self, event: str) -> dict[str, Any] | None:
        return next((record for record in reversed(self.records) if record["event"] == event), None)

    def all(self, event: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event"] == event]


def read_records(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Every whole record of a log, and how many bytes they take.

    Raises:
        InputError: it cannot be read, or a line other than the last is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise InputError(f"`{path}` cannot be read: {fault.strerror}", path=path) from fault
    records: list[dict[str, Any]] = []
    good = 0
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get("event"), str):
                raise ValueError("not a record")  # noqa: TRY004  one kind of damage, one handler
        except ValueError as fault:
            if number == len(lines) - 1:
                break  # cut short by a kill; the newline came from a later block of the file
            raise InputError(
                f"line {number} of `{path}` is damaged", path=path, hint="cut the log before that line, or remove it"
            ) from fault
        records.append(record)
        good += len(line) + 1
    if records and records[0]["event"] != "question":
        raise InputError(f"`{path}` is not the log of a search: it does not begin with its question", path=path)
    if records and records[0].get("schema") != SCHEMA:
        raise InputError(
            f"`{path}` has schema {records[0].get('schema')!r}, this envpin reads {SCHEMA}", path=path,
            hint="upgrade envpin, or start the search anew",
        )  # fmt: skip
    return records, good


class VerdictCache:
    """Outcomes of probes by what decides them: lock digest, probe digest and host. A folder of small files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored outcome; None where there is none. A damaged entry counts as none."""
        try:
            found = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and "outcome" in found else None

    def put(self, key: str, outcome: Mapping[str, Any]) -> None:
        """Store an outcome. A disk that refuses it is not an error here: the log has it too."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".verdict-")
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump({"outcome": dict(outcome), "at": now()}, stream)
            Path(name).replace(path)
        except OSError:
            return

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


def digest(document: object) -> str:
    """A stable digest of a JSON document."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _trouble(fault: OSError, path: Path) -> InfrastructureError:
    if fault.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(f"no space left to write `{path}`", hint="free some space and run the same command again")
    return InfrastructureError(f"`{path}` cannot be written: {fault.strerror}")
