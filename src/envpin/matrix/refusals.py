"""Values of adapter_config.json that peft refuses from some release on: whoever has one was made by an older one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# peft/utils/peft_types.py, the same from the first release that asks (0.14.0) to 0.21.2.
TASKS = frozenset({"SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"})


class PeftRefusal(NamedTuple):
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
    PeftRefusal(
        "total_step", "0.15.0", "ADALORA", lambda config: _is_no_count(config.get("total_step")),
        "AdaLoRA without a `total_step`",
        "set `total_step` in adapter_config.json to the steps of the run, more than `tinit` and `tfinal` together: it "
        "counts while training only",
    ),
    PeftRefusal(
        "task_type", "0.14.0", None,
        lambda config: config.get("task_type") is not None and str(config["task_type"]) not in TASKS,
        "a `task_type` that is none of its own", f"set `task_type` to one of {', '.join(sorted(TASKS))}, or null",
    ),
    PeftRefusal(
        "layers_pattern", "0.14.0", "LORA",
        lambda config: bool(config.get("layers_pattern")) and config.get("layers_to_transform") is None,
        "a `layers_pattern` without `layers_to_transform`", "set `layers_pattern` to null: alone it chooses nothing",
    ),
    PeftRefusal(
        "r", "0.14.0", "OFT", lambda config: "oft_block_size" not in config,
        "OFT of an older peft, whose config has no `oft_block_size`: its weights have another form",
        "merge it there, or train it again with a newer one",
    ),
)  # fmt: skip


def refusals_of(config: Mapping[str, object], kind: str) -> Iterator[PeftRefusal]:
    """What releases refuse of a config of this `peft_type`, in capitals."""
    return (one for one in _REFUSALS if one.method in {None, kind} and one.refused(config))
