"""What every sweep so far has found out, in one append-only file: nothing is climbed twice.

`environment` records say what was installed under a key of the store, `outcome` records what a family's step did there.
An outcome counts for the tiny model and the ladder that it was found with; a later one of the same thing stands.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from envpin.core.errors import InputError, RefusedError
from envpin.core.journal import Journal
from envpin.matrix.results import EvidenceRun
from envpin.recording.injected import hook
from envpin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from filelock import BaseFileLock

# Raised when a step comes to mean something else: what was found before is then no answer any more.
LADDER = 1


class Results:
    """Open it with `with`: one process at a time writes. `on_record` hears of every record that is added."""

    def __init__(self, folder: Path, *, on_record: Callable[[Mapping[str, Any]], None] = lambda _record: None) -> None:
        self.folder = folder.absolute()
        self._on_record = on_record
        self._guard = threading.Lock()
        self._held: BaseFileLock | None = None
        self._known: dict[tuple[str, str | None, str, str], dict[str, dict[str, object]]] = {}
        self._environments: dict[str, dict[str, Any]] = {}
        self._unbuildable: dict[str, dict[str, object]] = {}

    def __enter__(self) -> Self:
        """
        Raises:
            RefusedError: another process is writing.
            InputError: the file is damaged, or the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"`{self.folder}` cannot be written: {error.strerror}", path=self.folder) from error
        self._held = FileLock(self.folder / ".lock")
        try:
            self._held.acquire(timeout=0)
        except Timeout as held:
            raise RefusedError(
                f"another process is verifying with `{self.folder}`", hint="wait for it, or set ENVPIN_HOME"
            ) from held
        self._journal = Journal(self.folder / "results.jsonl")
        for record in self._journal.records:
            self._take(record)
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._held is not None:
            self._held.release()

    def made(self, key: str, family: str) -> Path:
        """Where the tiny model and the adapter of a family are, that were made in the environment `key`."""
        return self.folder / "made" / key / family

    def known(self, key: str, family: str, recipe: str, *, trained_in: str | None = None) -> dict[str, dict[str, Any]]:
        """Capability to its record; `trained_in` is the environment that the adapter comes from, if another one."""
        with self._guard:
            return dict(self._known.get((key, trained_in, family, recipe), {}))

    def unbuildable(self, name: str) -> str | None:
        """Why the environment of these pins could not be had, if that was so."""
        found = self._unbuildable.get(name)
        return None if found is None else str(found["message"])

    def add_environment(self, key: str, facts: Mapping[str, object]) -> None:
        """What is installed under `key`: `packages`, `python`, `platform`, `lock_digest`."""
        if self._environments.get(key) is None:
            self._add({"event": "environment", "key": key, **facts})

    def add_outcome(self, key: str, outcome: Mapping[str, object], *, recipe: str, trained_in: str | None) -> None:
        self._add({"event": "outcome", "key": key, "trained_in": trained_in, "recipe": recipe, "ladder": LADDER,
                   "date": datetime.now(UTC).date().isoformat(), "tool": f"envpin matrix verify {__version__}",
                   **hook("redaction").document(dict(outcome))})  # fmt: skip

    def add_unbuildable(self, name: str, kind: str, message: str) -> None:
        self._add({"event": "unbuildable", "name": name, "kind": kind, "message": hook("redaction").text(message)})

    def entries(self, wanted: Iterable[tuple[str, str | None, str, str]]) -> tuple[EvidenceRun, ...]:
        """Evidence of (key, trained in, family, recipe): every outcome that says something about the versions."""
        found = []
        for key, trained_in, family, recipe in wanted:
            for capability, record in self.known(key, family, recipe, trained_in=trained_in).items():
                if record["outcome"] != "untestable":
                    found.append(self._entry(key, trained_in, family, capability, record))
        return tuple(found)

    def _entry(
        self, key: str, trained_in: str | None, family: str, capability: str, record: dict[str, Any]
    ) -> EvidenceRun:
        where = self._environments[key]
        return EvidenceRun(
            family=family,
            capability=capability,  # type: ignore[arg-type]  # the ladder's steps are capabilities
            packages=where["packages"],
            python=where["python"],
            platform=where["platform"],
            lock_digest=where["lock_digest"],
            trained_with=self._environments[trained_in]["packages"] if trained_in else {},
            outcome=record["outcome"],
            error=_short(record.get("error", "")),
            seconds=round(record.get("seconds", 0.0), 1),
            date=record["date"],
            tool=record["tool"],
        )

    def _add(self, record: dict[str, object]) -> None:
        with self._guard:
            self._take(self._journal.append(record))
        self._on_record(record)

    def _take(self, record: dict[str, Any]) -> None:
        match record:
            case {"event": "environment", "key": key}:
                self._environments[key] = record
            case {"event": "outcome", "ladder": ladder} if ladder == LADDER:
                place = (record["key"], record["trained_in"], record["family"], record["recipe"])
                self._known.setdefault(place, {})[record["capability"]] = record
            case {"event": "unbuildable", "name": name}:
                self._unbuildable[name] = record


def _short(error: str) -> str:
    """What is worth keeping of a message: its first line, and a warning that came with it."""
    lines = error.splitlines()
    return "\n".join(line[:300] for line in (*lines[:1], *(one for one in lines[1:] if one.startswith("warning: "))))
