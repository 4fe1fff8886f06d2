"""Which values of a config which releases of peft refuse; tried with 0.12 to 0.21 (`benchmarks/check_peft.py`)."""

from __future__ import annotations

from typing import Any

import pytest

from envpin.matrix.fields import load_fields
from envpin.matrix.refusals import TASKS, refusals_of


@pytest.mark.parametrize(
    ("kind", "config", "release"),
    [
        ("ADALORA", {"total_step": None}, "0.15.0"), ("ADALORA", {}, "0.15.0"),
        ("ADALORA", {"total_step": 0}, "0.15.0"),
        ("LORA", {"task_type": "causal_lm"}, "0.14.0"), ("IA3", {"task_type": ["CAUSAL_LM"]}, "0.14.0"),
        ("LORA", {"layers_pattern": "h"}, "0.14.0"),
    ],
)  # fmt: skip
def test_the_first_release_that_refuses_is_named(kind: str, config: dict[str, Any], release: str) -> None:
    (one,) = refusals_of(config, kind)
    assert one.release == release
    assert one.release in load_fields().packages["peft"].releases


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("ADALORA", {"total_step": 100}), ("LORA", {"total_step": None}), ("LORA", {"task_type": None}), ("LORA", {}),
        ("LORA", {"layers_pattern": "h", "layers_to_transform": [0]}), ("LORA", {"layers_pattern": []}),
        *(("LORA", {"task_type": task}) for task in TASKS),
    ],
)  # fmt: skip
def test_what_every_release_takes_is_not_refused(kind: str, config: dict[str, Any]) -> None:
    assert list(refusals_of(config, kind)) == []
