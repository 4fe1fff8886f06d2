"""Adapters that no merge into their base is right for, told from the config alone.

The rules are data of the worker that refuses such a merge (`workers/runtime/unmergeable.json`); nothing of its code is
needed to read them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.core.findings import Evidence
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.core.findings import Finding
    from envpin.diagnose.subject import CheckSubject

_SHIPPED = Path(__file__).resolve().parents[2] / "workers" / "runtime" / "unmergeable.json"
_SHOWN = 100


class UnmergeableRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Met where the field's value begins with `begins`, is one of `values`, or, without either, says anything."""

    field: str
    code: str
    reason: str
    begins: str | None = None
    values: tuple[str, ...] = ()

    def met(self, config: Mapping[str, object]) -> str | None:
        """The value, as a message shows it, that meets this rule; None where none does."""
        value = config.get(self.field)
        if self.begins is not None:
            plain = value.lower() if isinstance(value, str) else ""
            return f"`{plain[:_SHOWN]}`" if plain.startswith(self.begins) else None
        if self.values:
            plain = str(value or "").upper()
            return f"`{plain}`" if plain in self.values else None
        return str(value)[:_SHOWN] if value not in (None, False, [], {}, "") else None


@cache
def load_rules() -> tuple[UnmergeableRule, ...]:
    return msgspec.json.decode(_SHIPPED.read_bytes(), type=tuple[UnmergeableRule, ...])


def detect_unmergeable(subject: CheckSubject) -> Iterator[Finding]:
    """The first rule that the adapter's config meets."""
    config = subject.adapter_config
    for rule in load_rules():
        shown = rule.met(config)
        if shown is not None:
            seen = [Evidence(file="adapter_config.json", found=f"{rule.field}: {shown.strip('`')}")]
            yield finding(rule.code, f"`{rule.field}` is {shown}: {rule.reason}", seen, names=places(subject))
            return
