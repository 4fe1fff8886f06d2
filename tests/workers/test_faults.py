"""A sample of benchmarks/faults.py: right merges are proved, planted faults are caught and named."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from benchmarks.faults import CAUGHT, measure, verdict_of_probe

pytestmark = pytest.mark.xdist_group("faults")
# Enough of each kind of change: by formula, DoRA, by peft, rows of a table, what loading takes off.
CELLS = {
    "latest": "llama/lora/bf16,llama/dora/fp16,llama/loha/fp32,llama/tokens/bf16,llama/pissa/bf16",
    "peft012": "llama/lora-tied/bf16,llama/dora/bf16",
}
# The same question of a whole model: outputs that rounding does not explain are refused.
SEEN_IN_OUTPUTS = {"one layer left out", "change times 0.5", "change times -1", "other adapter"}


@cache
def lines(environment: str) -> tuple[dict[str, Any], ...]:
    _about, *found = measure(environment, CELLS[environment])
    return tuple(found)


def of(environment: str, kind: str) -> list[dict[str, Any]]:
    return [line for line in lines(environment) if line["kind"] == kind and line["status"] != "absent"]


@pytest.mark.parametrize("environment", sorted(CELLS))
def test_right_merges_are_proved_whatever_way_they_were_rounded(environment: str) -> None:
    right = of(environment, "healthy")
    assert len(right) > 15
    assert [line for line in right if line["status"] != "right"] == []


@pytest.mark.parametrize("environment", sorted(CELLS))
def test_planted_faults_are_caught(environment: str) -> None:
    faults = of(environment, "fault")
    assert len(faults) >= 40
    assert [line for line in faults if line["status"] not in {*CAUGHT, "no fault: same bits"}] == []


def test_faults_of_plain_lora_are_named_for_what_they_are() -> None:
    found = [line for line in of("latest", "fault") if line["cell"] == "llama/lora/bf16"]
    assert [line for line in found if line["status"] != "caught"] == []


@pytest.mark.parametrize("environment", sorted(CELLS))
def test_outputs_alone_refuse_gross_faults_and_pass_right_merges(environment: str) -> None:
    assert [line for line in of(environment, "healthy") if verdict_of_probe(line) == "refused"] == []
    gross = [line for line in of(environment, "fault") if line["merge"] in SEEN_IN_OUTPUTS and "/lora" in line["cell"]]
    assert gross
    assert [line for line in gross if verdict_of_probe(line) != "refused"] == []
