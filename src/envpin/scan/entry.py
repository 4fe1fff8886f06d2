"""What a scan says of one folder, and of all of them. Plain records, as `--json` prints them."""

from __future__ import annotations

from typing import Literal

import msgspec

from envpin.core.findings import SEVERITY_ORDER, Finding, Severity

# `merge` is a model with the record of the merge that made it; `damaged` an envpin.json that cannot be read.
RecordState = Literal["recorded", "merge", "inferred", "damaged", "none"]
# `unknown`: nothing tells which environment it needs. `none`: it needs none to be merged.
EnvironmentState = Literal["ready", "missing", "unknown", "none"]
EntryKind = Literal["adapter", "model", "both", "unknown"]


class BaseSeen(msgspec.Struct, frozen=True, kw_only=True):
    """`named` is what the adapter says; the rest is what was found, `found` in words where."""

    named: str | None = None
    path: str | None = None
    id: str | None = None
    commit: str | None = None
    found: str | None = None


class ScanEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One folder. `path` is relative to the scanned folder; `step` that of a checkpoint.

    `trainer` is a key of `infer.trainers.TITLES`, `through` the trainers that it drove. `versions` are those of the
    training environment: recorded, or as version specifiers where they were inferred. `problem` says why it could not
    be read, or of what kind it is where it holds no weights; `not_compared` why an adapter was not held against a base.
    """

    path: str
    kind: EntryKind
    step: int | None = None
    trainer: str | None = None
    trainer_title: str | None = None
    trainer_version: str | None = None
    through: tuple[str, ...] = ()
    base: BaseSeen | None = None
    record: RecordState = "none"
    versions: dict[str, str] = {}
    environment: EnvironmentState = "unknown"
    environment_key: str | None = None
    findings: tuple[Finding, ...] = ()
    problem: str | None = None
    not_compared: str | None = None

    @property
    def blockers(self) -> int:
        return sum(1 for one in self.findings if one.severity == "blocker")

    @property
    def warnings(self) -> int:
        return sum(1 for one in self.findings if one.severity == "warning")

    @property
    def is_bad(self) -> bool:
        """It cannot be read, loaded or merged as it is."""
        return self.problem is not None or self.blockers > 0

    @property
    def sort_key(self) -> tuple[int, int, int, str]:
        """The worst first, what was not compared before what was."""
        known = -self.warnings - (1 if self.not_compared is not None else 0)
        return (0 if self.problem is not None else 1, -self.blockers, known, self.path)


class Scanned(msgspec.Struct, frozen=True, kw_only=True):
    """`entries` are the worst first; `unreadable` maps folders that could not be entered to the reason."""

    root: str
    entries: tuple[ScanEntry, ...]
    folders: int
    unreadable: dict[str, str]
    links: tuple[str, ...]
    seconds: float

    @property
    def bad(self) -> int:
        return sum(1 for one in self.entries if one.is_bad)

    @property
    def not_compared(self) -> int:
        """How many adapters have no blocker of their own, and were not held against a base."""
        return sum(1 for one in self.entries if one.not_compared is not None and not one.is_bad)


def count_findings(entries: tuple[ScanEntry, ...]) -> list[tuple[Severity, str, int]]:
    """Severity, code and the number of folders that have it, the worst and most frequent first."""
    counts: dict[tuple[Severity, str], int] = {}
    for entry in entries:
        for key in {(one.severity, one.code) for one in entry.findings}:
            counts[key] = counts.get(key, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (SEVERITY_ORDER[item[0][0]], -item[1], item[0][1]))
    return [(severity, code, count) for (severity, code), count in ranked]
