"""How a base is quantized, what there is to decide, and what the preflight makes of the decision."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.checkpoint.quantization import REFUSED, of_base
from envpin.core.errors import UsageError
from envpin.diagnose.check import check
from envpin.manifest.types import BaseModel, Manifest
from envpin.replay.quantized import decide, settle
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter
from tests.support.quantized_bases import EIGHT, FOUR, FP8, INT8, NF4, quantized_model

if TYPE_CHECKING:
    from pathlib import Path


def test_a_plain_base_is_not_quantized(tmp_path: Path) -> None:
    base = open_checkpoint(quantized_model(tmp_path / "base"))
    assert of_base(base) is None
    assert not decide(base, None, None).is_open
    assert decide(base, None, "original").request() is None
    with pytest.raises(UsageError, match="nothing is to be dequantized"):
        decide(base, None, "dequantize")


def manifest(**base: Any) -> Manifest:
    return Manifest(schema=1, base=BaseModel(**base))


def test_qlora_asks_and_takes_an_answer(tmp_path: Path) -> None:
    base = open_checkpoint(quantized_model(tmp_path / "base"))
    record = manifest(quantization=NF4, dtype="bfloat16")
    assert decide(base, record, None).is_open
    for policy in ("original", "dequantize"):
        decision = decide(base, record, policy)
        wanted = {"policy": policy, "stored": False, "config": NF4, "dtype": "bfloat16"}
        assert decision.request() == wanted
        assert decision.packages == (("bitsandbytes",) if policy == "dequantize" else ())


def test_what_cannot_be_quantized_again_is_no_question(tmp_path: Path) -> None:
    base = open_checkpoint(quantized_model(tmp_path / "base"))
    assert not decide(base, manifest(quantization={"quant_method": "gptq"}), None).is_open


def test_original_needs_the_original(tmp_path: Path) -> None:
    base = open_checkpoint(quantized_model(tmp_path / "base", NF4, **FOUR))
    assert decide(base, None, "original").request() is None
    request = decide(base, None, "dequantize").request()
    assert request is not None
    assert request["stored"] is True


@pytest.mark.parametrize(
    ("config", "stored", "policy", "code", "severity", "words"),
    [
        (NF4, FOUR, None, "quantized-base-packed", "blocker", "is for you to choose with --quantized-base"),
        (NF4, FOUR, "original", "quantized-base-packed", "blocker", "needs the 16-bit original, given with --base"),
        (NF4, FOUR, "dequantize", "quantized-base-packed", "info", "the base is dequantized from 4-bit bitsandbytes"),
        (INT8, EIGHT, "dequantize", "quantized-base-packed", "info", "8-bit bitsandbytes"),
        ({"quant_method": "fp8"}, FP8, None, "quantized-base-packed", "blocker", "fp8"),
        ({"quant_method": "awq"}, {}, "dequantize", "quantized-base-unmergeable", "blocker", "calibration data"),
        (NF4, {}, None, "quantization-differs", "blocker", "is for you to choose with --quantized-base"),
        (NF4, {}, "original", "quantization-differs", "info", "added to the 16-bit weights"),
    ],
)
def test_the_preflight_in_the_light_of_the_decision(
    *,
    config: dict[str, Any],
    stored: dict[str, Any],
    policy: Any,
    code: str,
    severity: str,
    words: str,
    tmp_path: Path,
) -> None:
    base = quantized_model(tmp_path / "base", config, **stored)
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    report = check(adapter, base=base)
    settled = settle(report.findings, decide(open_checkpoint(base), None, policy), policy)
    found = next(one for one in settled if one.code == code)
    assert found.severity == severity
    assert words in found.message


def test_every_refusal_says_why_and_the_way_out_names_the_original(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "base_model_name_or_path": "Qwen/Qwen2-7B-Instruct-AWQ"}))
    for method, why in REFUSED.items():
        base = quantized_model(tmp_path / method, {"quant_method": method})
        found = next(one for one in check(adapter, base=base).findings if one.code == "quantized-base-unmergeable")
        assert why in found.message
        assert "--base Qwen/Qwen2-7B-Instruct" in found.fix[0]
