"""Detectors on adapter_config.json as one release of peft reads it and another does not: values that it refuses from
some release on, and fields that it gave up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from envpin.core.findings import Evidence
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.methods import kind_of
from envpin.diagnose.detectors.shapes import places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.subject import CheckSubject

# peft/utils/peft_types.py, the same from the first release that asks (0.14.0) to 0.21.2.
TASKS = frozenset({"SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"})
# Fields that say nothing of what was trained, whatever a release makes of them.
_OF_NO_WEIGHT = frozenset({"merge_weights"})


class _Refusal(NamedTuple):
    """`field` has a value that peft refuses from `release` on, for one method or for all."""

    field: str
    release: str
    method: str | None
    refused: Callable[[Mapping[str, object]], bool]
    says: str
    step: str


def _is_no_count(value: object) -> bool:
    return not isinstance(value, int) or value <= 0


# Read in the wheels around each release: peft/config.py, peft/tuners/adalora/config.py, peft/tuners/*/config.py.
_REFUSALS = (
    _Refusal(
        "total_step", "0.15.0", "ADALORA", lambda config: _is_no_count(config.get("total_step")),
        "AdaLoRA without a `total_step`",
        "set `total_step` in adapter_config.json to the steps of the run, more than `tinit` and `tfinal` together: it "
        "counts while training only",
    ),
    _Refusal(
        "task_type", "0.14.0", None,
        lambda config: config.get("task_type") is not None and str(config["task_type"]) not in TASKS,
        "a `task_type` that is none of its own", f"set `task_type` to one of {', '.join(sorted(TASKS))}, or null",
    ),
    _Refusal(
        "layers_pattern", "0.14.0", "LORA",
        lambda config: bool(config.get("layers_pattern")) and config.get("layers_to_transform") is None,
        "a `layers_pattern` without `layers_to_transform`", "set `layers_pattern` to null: alone it chooses nothing",
    ),
)  # fmt: skip


def detect_refusals(subject: CheckSubject) -> Iterator[Finding]:
    """Of the target's peft where there is one; without one a warning that newer releases refuse it."""
    config = subject.adapter_config
    if not subject.is_adapter or not config.get("peft_type"):
        return
    for one in _REFUSALS:
        if one.method not in {None, kind_of(subject)} or not one.refused(config) or subject.below("peft", one.release):
            continue
        text = f"peft {one.release} and newer refuse {one.says}"
        seen = [Evidence(file="adapter_config.json", found=f"{one.field}: {str(config.get(one.field))[:80]}")]
        fix = (f"load with peft < {one.release}", one.step)
        yield _older(text, seen, fix, subject)
    yield from _given_up(config, subject)


def _given_up(config: Mapping[str, object], subject: CheckSubject) -> Iterator[Finding]:
    """Fields that older releases alone know, and that say something here."""
    from envpin.matrix.fields import load_fields

    facts = load_fields().packages["peft"]
    known = facts.classes.get(kind_of(subject))
    for name, value in config.items() if known is not None else ():
        spans = known.fields[name].spans if known is not None and name in known.fields else ()
        last = spans[-1][1] if spans else len(facts.releases) - 1
        if last + 1 >= len(facts.releases) or value in (None, False, [], {}, "") or name in _OF_NO_WEIGHT:
            continue
        gone = facts.releases[last + 1]
        if not subject.below("peft", gone):
            text = f"peft {gone} and newer do not know `{name}`, which {facts.releases[last]} was the last to read"
            seen = [Evidence(file="adapter_config.json", found=f"{name}: {str(value)[:80]}")]
            yield _older(text, seen, (f"load with peft < {gone}",), subject)


def _older(text: str, seen: list[Evidence], fix: tuple[str, ...], subject: CheckSubject) -> Finding:
    severity: Severity = "warning" if subject.version("peft") is None else "blocker"
    return finding("adapter-needs-older-peft", text, seen, severity=severity, fix=fix, names=places(subject))
