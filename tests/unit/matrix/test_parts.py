"""What a config asks of transformers beyond its type: by its parts, the quantization of its weights, its fields."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from envpin.core.resources import data_path
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.parts import LOOKED_UP, RUN_WITH, quantization_of
from envpin.matrix.recipes import load_recipes
from envpin.matrix.support import load_support, shipped_path

MATRIX, SUPPORT = load_matrix(data_path("compat_matrix.toml")), load_support(shipped_path())
LLAMA31 = {
    "model_type": "llama", "vocab_size": 128256, "rope_theta": 500000.0,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
}  # fmt: skip


def inside(config: dict[str, Any], version: str, name: str | None = None) -> bool:
    needs = [one for one in match(config, name, MATRIX, SUPPORT).needs if one.package == "transformers"]
    return all(SpecifierSet(one.versions).contains(version) for one in needs)


@pytest.mark.parametrize(
    ("outer", "key", "inner", "before", "first"),
    [
        ("llava", "text_config", "qwen3", "4.50.3", "4.51.0"),
        ("llava", "vision_config", "siglip_vision_model", "4.36.2", "4.37.0"),
        ("llava_next", "text_config", "ministral3", "4.57.6", "5.0.0"),
        ("llava_onevision", "text_config", "qwen3", "4.50.3", "4.51.0"),
        ("internvl", "text_config", "gpt_oss", "4.54.1", "4.55.0"),
        ("encoder-decoder", "encoder", "modernbert", "4.47.1", "4.48.0"),
    ],
)
def test_a_part_of_a_newer_type_raises_the_floor_and_the_pins(
    outer: str, key: str, inner: str, before: str, first: str
) -> None:
    config = {"model_type": outer, key: {"model_type": inner}}
    assert not inside(config, before)
    assert inside(config, first)
    found = match(config, None, MATRIX, SUPPORT)
    assert inside(config, found.pins["transformers"])


@pytest.mark.parametrize("name", ["llava", "llava_onevision"])
def test_a_part_that_no_release_knows_gets_no_pins(name: str) -> None:
    found = match({"model_type": name, "text_config": {"model_type": "zzz"}}, None, MATRIX, SUPPORT)
    assert (found.certainty, dict(found.pins)) == ("unknown", {})
    assert any("`zzz`, the type of its `text_config`" in line for line in found.evidence)


def test_parts_are_its_own_code_s_where_the_config_brings_code() -> None:
    config = {"model_type": "llava", "text_config": {"model_type": "zzz"}, "auto_map": {"AutoConfig": "x.Y"}}
    assert match(config, None, MATRIX, SUPPORT).certainty == "exact"


def test_parts_of_the_time_of_the_type_ask_for_nothing_more() -> None:
    found = {name: match(recipe.config, None, MATRIX, SUPPORT).needs for name, recipe in load_recipes().items()}
    assert [name for name, needs in found.items() if any("the type of its" in one.reason for one in needs)] == []


def test_every_type_with_parts_is_known() -> None:
    assert [kind for kind in LOOKED_UP if SUPPORT.window(kind) is None] == []


@pytest.mark.parametrize(
    ("method", "before", "first"),
    [
        ("compressed-tensors", "4.44.2", "4.45.0"), ("fp8", "4.48.3", "4.49.0"), ("mxfp4", "4.54.1", "4.55.0"),
        ("auto-round", "4.51.3", "4.52.1"), ("torchao", "4.44.2", "4.45.0"),
    ],
)  # fmt: skip
def test_quantized_weights_ask_for_the_first_release_that_loads_them(method: str, before: str, first: str) -> None:
    config = {**LLAMA31, "quantization_config": {"quant_method": method}}
    assert not inside(config, before)
    assert inside(config, first)
    found = match(config, None, MATRIX, SUPPORT)
    assert inside(config, found.pins["transformers"])
    assert any(f"quantized with {method}" in note for note in found.notes)


def test_a_quantization_that_transformers_does_not_load_gets_no_pins_and_says_why() -> None:
    found = match({**LLAMA31, "quantization_config": {"quant_method": "modelopt"}}, None, MATRIX, SUPPORT)
    assert found.family is not None
    assert (found.family.id, dict(found.pins)) == ("llama3.1", {})
    assert any("quantized with modelopt" in line for line in found.evidence)


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ({"quantization": {"bits": 4, "group_size": 64}, "quantization_config": {"bits": 4, "group_size": 64}}, "mlx"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"quantization_config": {"quant_method": " AWQ "}}, "awq"),
        ({"quantization_config": {"quant_method": " "}}, None),
        ({"quantization_config": "gptq"}, None), ({"quantization": {"bits": 4}}, None),
    ],
)  # fmt: skip
def test_the_quantization_is_found_where_a_tool_writes_it(config: dict[str, Any], method: str | None) -> None:
    assert quantization_of(config) == method


def test_weights_of_mlx_get_no_pins() -> None:
    found = match({**LLAMA31, "quantization": {"bits": 4, "group_size": 64}}, None, MATRIX, SUPPORT)
    assert dict(found.pins) == {}


def test_an_old_quantization_keeps_the_pins_and_says_what_was_not_run() -> None:
    found = match({**LLAMA31, "quantization_config": {"load_in_4bit": True}}, None, MATRIX, SUPPORT)
    assert found.family is not None
    assert found.pins == found.family.pins
    assert any("quantized with bitsandbytes" in note for note in found.notes)


YARN = {"rope_scaling": {"type": "yarn", "factor": 4.0}}


@pytest.mark.parametrize(
    ("config", "before", "first"),
    [
        ({"model_type": "cohere", "use_qk_norm": True}, "4.39.3", "4.40.0"),
        ({"model_type": "cohere", **YARN}, "4.44.2", "4.45.0"),
        ({"model_type": "stablelm", "qk_layernorm": True}, "4.39.3", "4.40.0"),
        ({"model_type": "stablelm", "use_parallel_residual": True}, "4.39.3", "4.40.0"),
        ({"model_type": "falcon", "num_ln_in_parallel_attn": 1}, "4.40.2", "4.41.0"),
        ({"model_type": "mixtral", "hidden_size": 64, "num_attention_heads": 5, "head_dim": 16}, "4.46.3", "4.47.0"),
        ({"model_type": "qwen2", "hidden_size": 64, "num_attention_heads": 5, "head_dim": 16}, "4.47.1", "4.48.0"),
        ({"model_type": "qwen2", **YARN}, "4.44.2", "4.45.0"),
        ({"model_type": "qwen2_moe", **YARN}, "4.44.2", "4.45.0"),
        ({"model_type": "starcoder2", **YARN}, "4.44.2", "4.45.0"),
        ({"model_type": "mistral", **YARN}, "4.47.1", "4.48.0"),
        ({"model_type": "mixtral", **YARN}, "4.47.1", "4.48.0"),
        ({"model_type": "gemma", **YARN}, "4.47.1", "4.48.0"),
        ({"model_type": "gemma2", **YARN}, "4.47.1", "4.48.0"),
        ({"model_type": "gemma2"}, "4.42.2", "4.42.3"),
        ({"model_type": "gemma", "hidden_act": "gelu"}, "4.38.2", "4.39.0"),
        ({"model_type": "phi3", "vocab_size": 32064, "rope_scaling": {"type": "longrope"}}, "4.42.4", "4.43.0"),
        ({"model_type": "llama", "vocab_size": 49152, **YARN}, "4.43.1", "4.43.2"),
        ({"model_type": "llama", "vocab_size": 49152, "mlp_bias": True}, "4.40.2", "4.41.0"),
        ({"model_type": "llama", "vocab_size": 49152, "attention_bias": True}, "4.33.3", "4.34.0"),
        ({"model_type": "llava", "multimodal_projector_bias": False}, "4.47.1", "4.48.0"),
        ({"model_type": "glm_moe_dsa", "indexer_types": ["full"]}, "5.5.4", "5.6.0"),
    ],
)
def test_a_field_that_is_newer_than_the_type_raises_the_floor(config: dict[str, Any], before: str, first: str) -> None:
    assert not inside(config, before)
    assert inside(config, first)


@pytest.mark.parametrize(
    ("config", "version"),
    [
        ({"model_type": "cohere", "use_qk_norm": False}, "4.39.3"),
        ({"model_type": "qwen2", "rope_scaling": None}, "4.37.0"),
        ({"model_type": "qwen2", "rope_parameters": {"rope_type": "default"}}, "4.37.0"),
        ({"model_type": "qwen2", "hidden_size": 64, "num_attention_heads": 4, "head_dim": 16}, "4.37.0"),
        ({"model_type": "phi3", "vocab_size": 32064, "rope_scaling": {"type": "su"}}, "4.41.0"),
        ({"model_type": "llava", "multimodal_projector_bias": True}, "4.36.0"),
    ],
)
def test_a_field_at_its_default_raises_nothing(config: dict[str, Any], version: str) -> None:
    assert inside(config, version)


def test_embeddinggemma_needs_attention_to_both_sides() -> None:
    found = match(None, "google/embeddinggemma-300m", MATRIX, SUPPORT)
    assert not SpecifierSet(found.needs[0].versions).contains("4.56.2")


def test_what_was_run_is_the_text_part_of_the_tiny_models() -> None:
    texts = {name: one.config.get("text_config") for name, one in load_recipes().items()
             if one.config["model_type"] in LOOKED_UP}  # fmt: skip
    assert {name: text["model_type"] for name, text in texts.items() if isinstance(text, dict)} == RUN_WITH


@pytest.mark.parametrize(("inner", "said"), [("qwen2", True), ("llama", False)])
def test_another_text_model_than_the_one_that_was_run_is_said(inner: str, said: bool) -> None:
    found = match({"model_type": "llava", "text_config": {"model_type": inner}}, None, MATRIX, SUPPORT)
    assert any("the family's runs had a `llama`" in note for note in found.notes) == said


def test_own_code_of_a_type_that_became_native_later_is_named() -> None:
    config = {"model_type": "exaone", "auto_map": {"AutoConfig": "x.Y"}, "transformers_version": "4.43.0"}
    found = match(config, None, MATRIX, SUPPORT)
    assert found.kind == "native"
    assert any("of the days of 4.43.0" in line for line in found.evidence)
