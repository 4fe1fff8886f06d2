"""Detectors on adapter_config.json as one release of peft reads it and another does not: values that it refuses from
some release on, and fields that it gave up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.findings import Evidence
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.methods import kind_of
from envpin.diagnose.detectors.shapes import json_text, places
from envpin.matrix.refusals import refusals_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.subject import CheckSubject

# Fields that say nothing of what was trained, whatever a release makes of them.
_OF_NO_WEIGHT = frozenset({"merge_weights"})


def detect_refusals(subject: CheckSubject) -> Iterator[Finding]:
    """Of the target's peft where there is one; without one a warning that newer releases refuse it."""
    config = subject.adapter_config
    if not subject.is_adapter or not config.get("peft_type"):
        return
    for one in refusals_of(config, kind_of(subject)):
        if subject.below("peft", one.release):
            continue
        text = f"peft {one.release} and newer refuse {one.says}"
        seen = [Evidence(file="adapter_config.json", found=f"{one.field}: {json_text(config.get(one.field))}")]
        fix = (f"load with peft < {one.release}", one.step)
        yield _older(text, seen, fix, subject)
    yield from _given_up(config, subject)


def _given_up(config: Mapping[str, object], subject: CheckSubject) -> Iterator[Finding]:
    """Fields that older releases alone know, and that say something here."""
    from envpin.matrix.fields import load_fields

    facts = load_fields().packages["peft"]
    known = facts.classes.get(kind_of(subject))
    fields = known.fields if known is not None else {}
    if known is not None and (last := known.spans[-1][1]) + 1 < len(facts.releases):
        gone = facts.releases[last + 1]
        if not subject.below("peft", gone):
            text = f"peft {gone} and newer do not know the method {kind_of(subject)}"
            seen = [Evidence(file="adapter_config.json", found=f"peft_type: {kind_of(subject)}")]
            yield _older(text, seen, (f"load with peft < {gone}",), subject)
        return
    for name, value in config.items():
        spans = fields[name].spans if name in fields else ()
        last = spans[-1][1] if spans else len(facts.releases) - 1
        if last + 1 >= len(facts.releases) or value in (None, False, [], {}, "") or name in _OF_NO_WEIGHT:
            continue
        gone = facts.releases[last + 1]
        if not subject.below("peft", gone):
            text = f"peft {gone} and newer do not know `{name}`, which {facts.releases[last]} was the last to read"
            seen = [Evidence(file="adapter_config.json", found=f"{name}: {json_text(value)}")]
            yield _older(text, seen, (f"load with peft < {gone}",), subject)


def _older(text: str, seen: list[Evidence], fix: tuple[str, ...], subject: CheckSubject) -> Finding:
    severity: Severity = "warning" if subject.version("peft") is None else "blocker"
    return finding("adapter-needs-older-peft", text, seen, severity=severity, fix=fix, names=places(subject))
