"""The one vocabulary of `check`, `diagnose`, `replay` and `scan`: a finding. Codes live in `diagnose.catalogue`."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["blocker", "warning", "info"]
SEVERITY_ORDER: dict[Severity, int] = {"blocker": 0, "warning": 1, "info": 2}


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One observed fact: where it was seen (`file`, `tensor`, `line`) and what was seen there.

    `found` and `expected` are shapes, values or texts as a person would write them (`[32001, 4096]`).
    """

    file: str | None = None
    tensor: str | None = None
    line: int | None = None
    found: str | None = None
    expected: str | None = None
    note: str | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A cause, found. `code` is a stable slug of the catalogue; `fix` is commands or steps, in order."""

    code: str
    severity: Severity
    message: str
    evidence: tuple[Evidence, ...] = ()
    fix: tuple[str, ...] = ()

    @property
    def sort_key(self) -> tuple[int, str]:
        """Blockers first, then by code."""
        return (SEVERITY_ORDER[self.severity], self.code)
