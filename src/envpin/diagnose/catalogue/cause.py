"""The form of one entry of the findings catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from envpin.core.findings import Severity


class Cause(NamedTuple):
    """`fix` are steps in order; `{adapter}`, `{base}` and `{model}` in them are filled where they are known."""

    code: str
    severity: Severity
    meaning: str
    detected: str
    fix: tuple[str, ...]
