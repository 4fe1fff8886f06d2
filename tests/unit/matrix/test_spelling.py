"""What transformers 4 makes of configs that 5.24.0 wrote: as 4.57.6 loaded tiny models with them, logits compared."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.spelling import misread
from envpin.matrix.support import load_support

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}  # fmt: skip
GPT_OSS = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
           "original_max_position_embeddings": 4096}  # fmt: skip
SECTIONS = {"mrope_section": [16, 24, 24]}


def written(kind: str, theta: float | None = None, **parameters: Any) -> dict[str, Any]:
    rope = {"rope_type": "default", **({} if theta is None else {"rope_theta": theta}), **parameters}
    return {"model_type": kind, "rope_parameters": rope, "transformers_version": "5.24.0"}


def gemma3(local: float, **full: Any) -> dict[str, Any]:
    return written("gemma3_text") | {
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1e6, **full},
            "sliding_attention": {"rope_type": "default", "rope_theta": local},
        }
    }


RIGHT = [
    written("llama", 10000.0), written("qwen2", 10000.0), written("qwen3", 10000.0), written("mistral", 10000),
    written("mixtral", 1e6), written("smollm3", 2e6), written("ernie4_5", 5e5), written("gpt_oss", 15e4, **GPT_OSS),
    written("phi", 10000.0, partial_rotary_factor=0.5), written("phi3", 10000.0, partial_rotary_factor=1.0),
    written("stablelm", 10000.0, partial_rotary_factor=0.25), gemma3(10000.0), written("falcon", 10000.0),
    {"model_type": "gpt2", "dtype": "float32"}, written("llama", 5e5) | {"rope_theta": 5e5, "rope_scaling": None},
    {"model_type": "llava", "text_config": written("llama", 10000.0)},
]  # fmt: skip
WRONG = [
    (written("llama", 5e5), ["rope_theta"]),
    (written("llama", 10000.0, rope_type="linear", factor=4.0), ["rope_scaling"]),
    (written("llama", 5e5, **LLAMA3), ["rope_theta", "rope_scaling"]), (written("qwen2", 1e6), ["rope_theta"]),
    (written("qwen2", 10000.0, rope_type="yarn", factor=4.0), ["rope_scaling"]),
    (written("qwen3", 1e6), ["rope_theta"]),
    (written("mistral", 1e6), ["rope_theta"]), (written("mixtral", 10000.0), ["rope_theta"]),
    (written("smollm3", 10000.0), ["rope_theta"]), (written("ernie4_5", 10000.0), ["rope_theta"]),
    (written("persimmon", 10000.0, partial_rotary_factor=0.5), ["rope_theta"]), (written("olmo2", 5e5), ["rope_theta"]),
    (written("phi", 10000.0, partial_rotary_factor=1.0), ["partial_rotary_factor"]),
    (written("phi3", 10000.0, partial_rotary_factor=0.5), ["partial_rotary_factor"]),
    (written("phi3", 10000.0, rope_type="longrope", partial_rotary_factor=1.0), ["rope_scaling"]),
    (written("gpt_neox", 10000.0, partial_rotary_factor=1.0), ["partial_rotary_factor"]),
    (written("glm", 10000.0, partial_rotary_factor=1.0), ["partial_rotary_factor"]),
    (written("gpt_oss", 15e4), ["rope_scaling"]), (gemma3(20000.0), ["rope_local_base_freq"]),
    (gemma3(10000.0, rope_type="linear", factor=8.0), ["rope_scaling"]), (written("falcon", 5e4), ["rope_theta"]),
    ({"model_type": "llava", "text_config": written("llama", 5e5)}, ["rope_theta"]),
]  # fmt: skip
REFUSED = [
    (written("qwen3_moe", 10000.0) | {"num_local_experts": 4}, "num_experts", "5.1.0"),
    ({"model_type": "qwen2_vl", "text_config": written("qwen2_vl_text", 1e6, **SECTIONS)},
     "rope_scaling.mrope_section", "5.0.0"),
    ({"model_type": "qwen2_5_vl", "text_config": written("qwen2_5_vl_text", 1e6, **SECTIONS)},
     "rope_scaling.mrope_section", "5.0.0"),
]  # fmt: skip


@pytest.mark.parametrize("config", RIGHT, ids=lambda one: one["model_type"])
def test_a_config_at_the_defaults_of_4_is_read_right(config: dict[str, Any]) -> None:
    assert misread(config) == ()


@pytest.mark.parametrize(("config", "fields"), WRONG, ids=lambda one: str(one)[:60])
def test_4_reads_its_own_defaults_without_a_word(config: dict[str, Any], fields: list[str]) -> None:
    found = misread(config)
    assert [one.field for one in found] == fields
    assert all(one.silent for one in found)


@pytest.mark.parametrize(("config", "field", "release"), REFUSED, ids=lambda one: str(one)[:40])
def test_what_4_does_not_find_ends_it(config: dict[str, Any], field: str, release: str) -> None:
    (found,) = misread(config)
    assert (found.field, found.release, found.silent) == (field, release, False)


@pytest.mark.parametrize(
    ("config", "needed"),
    [
        (written("qwen2", 1e6), True), (written("qwen2", 10000.0), False), (written("mixtral", 1e6), False),
        (written("mixtral", 10000.0), True), (written("gemma", 10000.0), False), (written("cohere", 8e6), True),
    ],
)  # fmt: skip
def test_resolve_needs_5_only_where_4_reads_it_otherwise(config: dict[str, Any], *, needed: bool) -> None:
    found = match(config, None, load_matrix(), load_support())
    inside = [SpecifierSet(one.versions).contains("4.57.6") for one in found.needs if one.package == "transformers"]
    assert all(inside) is not needed
    assert found.pins["transformers"].startswith("5.") or not needed


@pytest.mark.parametrize("value", [None, 3, "x", [], {"rope_theta": "x"}, {"full_attention": 3}, {"rope_type": 5}])
def test_any_value_gets_an_answer(value: object) -> None:
    assert misread({"model_type": "llama", "rope_parameters": value, "text_config": value}) == ()
