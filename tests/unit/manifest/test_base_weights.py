"""The table of what counts as the recorded weights, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from envpin.manifest.base_weights import WeightsComparison, compare_weights, worst_of
from envpin.manifest.types import BaseModel, WeightSample

A, B = "a" * 64, "b" * 64
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def sample(size: int = 10, header: str = A, blocks: str = A) -> WeightSample:
    return WeightSample(size=size, header_sha256=header, blocks_sha256=blocks)


@pytest.mark.parametrize(
    ("recorded", "digests", "samples", "state"),
    [
        (None, {ONE: A, TWO: A}, {}, "not recorded"),
        ({}, {ONE: A, TWO: A}, {}, "not recorded"),
        ({"files": {"pytorch_model.bin": A}}, {ONE: A, TWO: A}, {}, "not recorded"),
        ({"files": {ONE: A, TWO: B}}, {ONE: A, TWO: B}, {}, "equal"),
        ({"files": {ONE: A, TWO: B}}, {ONE: A, TWO: A}, {}, "differ"),
        ({"files": {ONE: A}}, {ONE: A, TWO: A}, {}, "differ"),
        ({"files": {ONE: A, TWO: A, "model.safetensors": A}}, {ONE: A, TWO: A}, {}, "differ"),
        ({"files": {ONE: A, TWO: A}}, {ONE: A}, {}, "not compared"),
        ({"files": {ONE: A, TWO: A}}, {}, {ONE: sample(), TWO: sample()}, "not compared"),
        ({"weights": {ONE: sample(), TWO: sample()}}, {}, {ONE: sample(), TWO: sample()}, "sampled"),
        ({"weights": {ONE: sample(), TWO: sample()}}, {ONE: A, TWO: A}, {ONE: sample(), TWO: sample()}, "sampled"),
        ({"weights": {ONE: sample(), TWO: sample()}}, {}, {ONE: sample(), TWO: sample(blocks=B)}, "differ"),
        ({"weights": {ONE: sample(), TWO: sample()}}, {}, {ONE: sample(), TWO: sample(header=B)}, "differ"),
        ({"weights": {ONE: sample(), TWO: sample()}}, {}, {ONE: sample(), TWO: sample(size=11)}, "differ"),
        # One file by its digest, the other by its sample only: not every byte was compared.
        ({"files": {ONE: A}, "weights": {ONE: sample(), TWO: sample()}}, {ONE: A, TWO: A},
         {ONE: sample(), TWO: sample()}, "sampled"),
        # The digest decides, whatever the samples say.
        ({"files": {ONE: A, TWO: A}, "weights": {ONE: sample(), TWO: sample()}}, {ONE: A, TWO: B},
         {ONE: sample(), TWO: sample()}, "differ"),
        ({"weights": {ONE: sample()}, "files": {TWO: A}}, {}, {}, "not compared"),
    ],
)  # fmt: skip
def test_compare_weights_follows_its_table(
    recorded: dict[str, Any] | None, digests: dict[str, str], samples: dict[str, WeightSample], state: str
) -> None:
    base = None if recorded is None else BaseModel(**recorded)
    compared = compare_weights(base, [ONE, TWO], digests, samples)
    assert compared.state == state
    assert bool(compared.differences) == (state == "differ")
    assert state == "not compared" or compared.reason is None


def test_compare_weights_passes_over_a_recorded_file_that_is_here_and_not_loaded() -> None:
    base = BaseModel(files={ONE: A, "model.safetensors": B})
    assert compare_weights(base, [ONE], {ONE: A}, {}, present=[ONE, "model.safetensors"]).state == "equal"
    assert compare_weights(base, [ONE], {ONE: A}, {}, present=[ONE]).state == "differ"


def test_compare_weights_needs_safetensors_on_this_side() -> None:
    compared = compare_weights(BaseModel(files={ONE: A}), ["pytorch_model.bin"], {}, {})
    assert (compared.state, compared.reason) == ("not compared", "the base has no safetensors files here")


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        (["equal", "equal"], "equal"),
        (["equal", "sampled"], "sampled"),
        (["sampled", "not compared"], "not compared"),
        (["not compared", "not recorded"], "not recorded"),
        (["differ", "not recorded"], "differ"),
    ],
)
def test_worst_of_takes_what_says_least(states: list[Any], worst: str) -> None:
    assert worst_of(WeightsComparison(state) for state in states).state == worst
    assert worst_of(WeightsComparison(state) for state in reversed(states)).state == worst
