"""Servers and converters that refuse a model by its name, against the collected registries."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.facts.listed import explain_listed
from envpin.matrix.stack import load_stack


@pytest.mark.parametrize(
    ("line", "package", "kind", "name"),
    [
        ("ValueError: Model architectures ['Qwen3ForCausalLM'] are not supported for now.",
         "vllm", "architectures", "Qwen3ForCausalLM"),
        ("ValueError: Gemma3nForConditionalGeneration has no SGlang implementation",
         "sglang", "architectures", "Gemma3nForConditionalGeneration"),
        ("ValueError: Model type gemma3n not supported.", "mlx-lm", "model_types", "gemma3n"),
        ("error loading model: unknown model architecture: 'qwen3'", "gguf", "gguf_architectures", "qwen3"),
        ("TypeError: qwen3 isn't supported yet.", "gptqmodel", "model_types", "qwen3"),
    ],
)  # fmt: skip
def test_the_first_release_that_lists_the_model_is_named(line: str, package: str, kind: str, name: str) -> None:
    first = load_stack().tools[package].listing(kind, (name,))[0].version
    told = explain_listed(line)
    assert told is not None
    assert told.code == "serving-limit"
    assert f"{package} lists `{name}` from {first} on" in told.says
    assert f"run with {package} ≥ {first}" in told.fix


def test_a_model_that_no_release_lists_is_said_so() -> None:
    told = explain_listed("ValueError: Model architectures ['MadeUpForCausalLM'] are not supported for now.")
    assert told is not None
    assert "no release that was looked at lists it" in told.says


@pytest.mark.parametrize("line", ["sedan isn't supported yet", "Model type sedan not supported", "not supported"])
def test_a_word_that_no_registry_has_is_no_model(line: str) -> None:
    assert explain_listed(line) is None
