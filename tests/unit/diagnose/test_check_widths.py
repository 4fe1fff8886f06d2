"""Settings of a method on a base that peft 0.21.2 refuses to make layers for; q_proj of the base is 64 x 64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from envpin.diagnose.check import check
from tests.support.checkpoints import llama_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path

AT = "base_model.model.model.layers.0.self_attn.q_proj"


def mismatches(tmp_path: Path, tensors: dict[str, tuple[int, ...]], **config: Any) -> list[str]:
    write_model(tmp_path / "base", llama_shapes())
    adapter = write_adapter(tmp_path / "adapter", tensors, **config)
    found = check(adapter, base=tmp_path / "base").findings
    return [one.message for one in found if one.code == "method-shape-mismatch"]


@pytest.mark.parametrize(
    ("part", "shape", "config", "said"),
    [
        ("shira_weight", (8192,), {"peft_type": "SHIRA", "r": 64}, "`r` 64 asks for 8192 of its 4096 weights"),
        ("shira_weight", (4096,), {"peft_type": "SHIRA", "r": 32}, None),
        ("road_theta", (32,), {"peft_type": "ROAD", "group_size": 48}, "64 is no multiple of `group_size` 48"),
        ("road_theta", (32,), {"peft_type": "ROAD", "group_size": 64}, None),
        ("c3a_kernel", (1, 1, 48), {"peft_type": "C3A", "block_size": 48}, "64 is no multiple of `block_size` 48"),
        ("c3a_kernel", (2, 2, 32), {"peft_type": "C3A", "block_size": 32}, None),
        ("fourierft_spectrum", (5000,), {"peft_type": "FOURIERFT", "n_frequency": 5000}, "more than its 4096 weights"),
        ("waveft_spectrum", (5000,), {"peft_type": "WAVEFT", "n_frequency": 5000}, "more than its 4096 weights"),
        ("boft_R", (1, 12, 5, 5), {"peft_type": "BOFT", "boft_block_size": 5}, "no multiple of `boft_block_size` 5"),
        ("c3a_kernel", (1, 1, 48),
         {"peft_type": "C3A", "block_size": 48, "block_size_pattern": {"q_proj": 48}}, None),
    ],
)  # fmt: skip
def test_settings_that_no_module_of_the_base_takes_are_named(
    tmp_path: Path, part: str, shape: tuple[int, ...], config: dict[str, Any], said: str | None
) -> None:
    found = mismatches(tmp_path, {f"{AT}.{part}": shape}, target_modules=["q_proj"], **config)
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({"peft_type": "TRAINABLE_TOKENS", "token_indices": [3, 320]}, 1),
        ({"peft_type": "TRAINABLE_TOKENS", "token_indices": [3, 319]}, 0),
        ({"trainable_token_indices": [9000, 3]}, 1), ({"trainable_token_indices": {"embed_tokens": [9000, 3]}}, 1),
        ({"trainable_token_indices": None}, 0),
    ],
)  # fmt: skip
def test_trained_tokens_without_a_row_in_the_base_are_named(tmp_path: Path, config: dict[str, Any], count: int) -> None:
    name = "base_model.model.model.embed_tokens.trainable_tokens_delta"
    found = mismatches(tmp_path, {name: (2, 64)}, target_modules=["embed_tokens"], **config)
    assert len([one for one in found if "no row in the base" in one]) == count
