"""How a base is quantized, and the original that its name names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.checkpoint.quantization import made_from, of_base
from tests.support.quantized_bases import EIGHT, FOUR, FP8, INT8, NF4, quantized_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("config", "stored", "method", "is_stored", "can"),
    [
        (NF4, FOUR, "bitsandbytes", True, True),
        (None, FOUR, "bitsandbytes", True, True),
        (INT8, EIGHT, "bitsandbytes", True, True),
        (NF4, {}, "bitsandbytes", False, True),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, FP8, "fp8", True, True),
        ({"quant_method": "gptq"}, {".qweight": ("I32", (8, 64))}, "gptq", True, False),
        (None, {".qweight": ("I32", (8, 64))}, "packed integers", True, False),
        ({"quant_method": "compressed-tensors"}, {}, "compressed-tensors", True, False),
        ({"quant_method": "some-new-one"}, {}, "some-new-one", True, False),
    ],
)
def test_what_a_base_says(
    *, config: dict[str, Any] | None, stored: dict[str, Any], method: str, is_stored: bool, can: bool, tmp_path: Path
) -> None:
    found = of_base(open_checkpoint(quantized_model(tmp_path / "base", config, **stored)))
    assert found is not None
    assert (found.method, found.stored, found.can_be_dequantized) == (method, is_stored, can)


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("unsloth/llama-3-8b-bnb-4bit", "unsloth/llama-3-8b"),
        ("unsloth/Qwen3-8B-unsloth-bnb-4bit", "unsloth/Qwen3-8B"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen/Qwen2.5-7B-Instruct"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-7B-Instruct"),
        ("Qwen/Qwen3-8B-FP8", "Qwen/Qwen3-8B"),
        ("RedHatAI/Llama-3.1-8B-FP8-dynamic", "RedHatAI/Llama-3.1-8B"),
        ("meta-llama/Llama-2-7b-hf", None),
        ("org/awq-tools", None),
        (None, None),
    ],
)
def test_the_original_that_a_name_names(name: str | None, original: str | None) -> None:
    assert made_from(name) == original
