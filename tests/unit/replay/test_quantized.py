"""How a base is quantized, what there is to decide, and what the preflight makes of the decision."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from envpin.checkpoint.folder import read_folder
from envpin.checkpoint.quantization import REFUSED, made_from, of_base
from envpin.core.errors import UsageError
from envpin.diagnose.check import check
from envpin.manifest.types import BaseModel, Manifest
from envpin.replay.quantized import decide, settle
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path

NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4"}
INT8 = {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}
LAYER = "model.layers.0.self_attn.q_proj"


def model(folder: Path, quantization: dict[str, Any] | None = None, **stored: tuple[str, tuple[int, ...]]) -> Path:
    """A base whose headers list `stored` (dtype and shape by ending) in place of its first layer's q_proj."""
    shapes: dict[str, Any] = dict(llama_shapes())
    config = llama_config(**({"quantization_config": quantization} if quantization else {}))
    path = write_model(folder, shapes, config=config)
    if stored:
        rewrite(path / "model.safetensors", stored)
    return path


def rewrite(path: Path, stored: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop(LAYER + ".weight", None)
    sizes = {"U8": 1, "I8": 1, "F32": 4, "F8_E4M3": 1, "BF16": 2, "F16": 2, "I32": 4}
    entries = {name: (one["dtype"], tuple(one["shape"])) for name, one in header.items() if name != "__metadata__"}
    entries |= {LAYER + ending: one for ending, one in stored.items()}
    document, end = {}, 0
    for name, (dtype, shape) in entries.items():
        size = sizes[dtype]
        for extent in shape:
            size *= extent
        document[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(document).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


FOUR = {".weight": ("U8", (2048, 1)), ".weight.absmax": ("F32", (64,)), ".weight.quant_map": ("F32", (16,)),
        ".weight.quant_state.bitsandbytes__nf4": ("U8", (80,))}  # fmt: skip
EIGHT = {".weight": ("I8", (64, 64)), ".SCB": ("F32", (64,))}
FP8 = {".weight": ("F8_E4M3", (64, 64)), ".weight_scale_inv": ("F32", (1, 1))}


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
    found = of_base(read_folder(model(tmp_path / "base", config, **stored)))
    assert found is not None
    assert (found.method, found.stored, found.can_be_dequantized) == (method, is_stored, can)


def test_a_plain_base_is_not_quantized(tmp_path: Path) -> None:
    base = read_folder(model(tmp_path / "base"))
    assert of_base(base) is None
    assert not decide(base, None, None).is_open
    assert decide(base, None, "original").request() is None
    with pytest.raises(UsageError, match="nothing is to be dequantized"):
        decide(base, None, "dequantize")


def manifest(**base: Any) -> Manifest:
    return Manifest(schema=1, base=BaseModel(**base))


def test_qlora_asks_and_takes_an_answer(tmp_path: Path) -> None:
    base = read_folder(model(tmp_path / "base"))
    record = manifest(quantization=NF4, dtype="bfloat16")
    assert decide(base, record, None).is_open
    for policy in ("original", "dequantize"):
        decision = decide(base, record, policy)
        wanted = {"policy": policy, "stored": False, "config": NF4, "dtype": "bfloat16"}
        assert decision.request() == wanted
        assert decision.packages == (("bitsandbytes",) if policy == "dequantize" else ())


def test_what_cannot_be_quantized_again_is_no_question(tmp_path: Path) -> None:
    base = read_folder(model(tmp_path / "base"))
    assert not decide(base, manifest(quantization={"quant_method": "gptq"}), None).is_open


def test_original_needs_the_original(tmp_path: Path) -> None:
    base = read_folder(model(tmp_path / "base", NF4, **FOUR))
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
    base = model(tmp_path / "base", config, **stored)
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    report = check(adapter, base=base)
    settled = settle(report.findings, decide(read_folder(base), None, policy), policy)
    found = next(one for one in settled if one.code == code)
    assert found.severity == severity
    assert words in found.message


def test_every_refusal_says_why_and_the_way_out_names_the_original(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "base_model_name_or_path": "Qwen/Qwen2-7B-Instruct-AWQ"}))
    for method, why in REFUSED.items():
        base = model(tmp_path / method, {"quant_method": method})
        found = next(one for one in check(adapter, base=base).findings if one.code == "quantized-base-unmergeable")
        assert why in found.message
        assert "--base Qwen/Qwen2-7B-Instruct" in found.fix[0]


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
