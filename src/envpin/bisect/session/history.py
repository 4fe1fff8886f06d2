"""The state of a search on disk: an append-only log, and a cache of verdicts across searches.

Each line of a log is one JSON object, on disk before the next step begins (see `envpin.core.journal`), so whatever
moment a search is killed at, what had finished is there.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from filelock import FileLock, Timeout

from envpin.bisect.session.outcome import ProbeOutcome
from envpin.bisect.session.records import check, check_together
from envpin.bisect.session.secrets import record_without_secrets
from envpin.core.errors import EnvpinError, InputError, RefusedError
from envpin.core.files import write_cache
from envpin.core.journal import Journal, read_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = 1
_LOCK = ".lock"


class Log:
    """The log of one search, which begins with its question. Opening reads what is there; `append` makes it longer."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        _check(self._journal.records, path)

    @property
    def path(self) -> Path:
        return self._journal.path

    @property
    def records(self) -> list[dict[str, Any]]:
        return self._journal.records

    def append(self, event: str, **fields: object) -> dict[str, object]:
        """Write one record and make sure that it is on disk.

        Raises:
            DiskFullError, InfrastructureError
        """
        if not self.records and event != "question":
            raise ValueError("a log begins with its question")
        return self._journal.append({"event": event, "at": now(), **record_without_secrets(event, fields)})

    def last(self, event: str) -> dict[str, Any] | None:
        return next((record for record in reversed(self.records) if record["event"] == event), None)

    def all(self, event: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event"] == event]


def read_records(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Every whole record of a log, and how many bytes they take.

    Raises:
        InputError: it cannot be read, or a line other than the last is damaged.
    """
    records, good = read_journal(path)
    _check(records, path)
    return records, good


@contextmanager
def alone(log: Log) -> Iterator[None]:
    """While this holds, no other process runs the search of `log`. The error that ends it is written down.

    Raises:
        RefusedError: another process runs it.
    """
    log.path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(log.path.with_name(_LOCK))
    try:
        lock.acquire(timeout=0)
    except Timeout as held:
        raise RefusedError("another process is running this search", hint="envpin bisect status") from held
    try:
        yield
    except EnvpinError as error:
        with suppress(EnvpinError, ValueError):
            log.append("stopped", kind=error.kind, message=error.message)
        raise
    finally:
        lock.release()


def runs_now(log: Log) -> bool:
    """Whether a process is at work on the search of `log`."""
    try:
        with FileLock(log.path.with_name(_LOCK), timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False  # a folder that cannot be written: nobody works here


def _check(records: list[dict[str, object]], path: Path) -> None:
    if not records:
        return
    if records[0]["event"] != "question":
        raise InputError(f"`{path}` is not the log of a search: it does not begin with its question", path=path)
    if records[0].get("schema") != SCHEMA:
        raise InputError(
            f"`{path}` has schema {records[0].get('schema')!r}, this envpin reads {SCHEMA}", path=path,
            hint="upgrade envpin, or start the search anew",
        )  # fmt: skip
    for number, record in enumerate(records, 1):
        try:
            check(record)
        except ValueError as fault:  # msgspec's, or of a key that is no text
            raise InputError(
                f"line {number} of `{path}` is damaged: {fault}", path=path,
                hint="cut the log before that line, or remove it",
            ) from fault  # fmt: skip
    try:
        check_together(records)
    except ValueError as fault:
        raise InputError(f"`{path}` contradicts itself: {fault}", path=path, hint="start the search anew") from fault


class VerdictCache:
    """Outcomes of probes by what decides them: lock digest, probe digest and host. A folder of small files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> ProbeOutcome | None:
        """The stored outcome; None where there is none. A damaged entry counts as none."""
        try:
            return msgspec.convert(json.loads(self._path(key).read_text(encoding="utf-8"))["outcome"], ProbeOutcome)
        except (OSError, ValueError, TypeError, KeyError, msgspec.ValidationError):
            return None

    def put(self, key: str, outcome: ProbeOutcome) -> None:
        """Store an outcome. A disk that refuses it is not an error here: the log has it too."""
        write_cache(self._path(key), json.dumps({"outcome": msgspec.to_builtins(outcome), "at": now()}))

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
