"""Which family a config belongs to: published configs, traps, and any JSON at all."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envpin.matrix.load import load_matrix
from envpin.matrix.match import Match, match
from envpin.matrix.support import load_support
from tests.support.places import DATA

CONFIGS = DATA / "configs"

# The fields of published config.json files that matter; the file name is the Hub name with `--` for the slash.
FAMILIES = {
    "01-ai/Yi-1.5-9B": "yi",
    "CohereForAI/c4ai-command-r-v01": "cohere",
    "CohereForAI/c4ai-command-r7b-12-2024": "cohere2",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": "smollm",
    "HuggingFaceTB/SmolLM3-3B": "smollm3",
    "Qwen/QwQ-32B": "qwq",
    "Qwen/Qwen-7B-Chat": "qwen",
    "Qwen/Qwen1.5-0.5B": "qwen1.5",
    "Qwen/Qwen1.5-7B-Chat": "qwen1.5",
    "Qwen/Qwen1.5-MoE-A2.7B": "qwen2-moe",
    "Qwen/Qwen2-0.5B-Instruct": "qwen2",
    "Qwen/Qwen2-57B-A14B": "qwen2-moe",
    "Qwen/Qwen2-7B": "qwen2",
    "Qwen/Qwen2-Audio-7B": "qwen2-audio",
    "Qwen/Qwen2-VL-7B-Instruct": "qwen2-vl",
    "Qwen/Qwen2.5-14B": "qwen2.5",
    "Qwen/Qwen2.5-3B": "qwen2.5",
    "Qwen/Qwen2.5-7B": "qwen2.5",
    "Qwen/Qwen2.5-7B-Instruct": "qwen2.5",
    "Qwen/Qwen2.5-Coder-32B-Instruct": "qwen2.5",
    "Qwen/Qwen2.5-Omni-7B": "qwen2.5-omni",
    "Qwen/Qwen2.5-VL-3B-Instruct": "qwen2.5-vl",
    "Qwen/Qwen3-30B-A3B": "qwen3-moe",
    "Qwen/Qwen3-8B": "qwen3",
    "Qwen/Qwen3.5-27B": "qwen3.5",
    "Qwen/Qwen3.5-35B-A3B": "qwen3.5-moe",
    "Qwen/Qwen3-Next-80B-A3B-Instruct": "qwen3-next",
    "Qwen/Qwen3-Omni-30B-A3B-Instruct": "qwen3-omni",
    "Qwen/Qwen3-VL-30B-A3B-Instruct": "qwen3-vl-moe",
    "Qwen/Qwen3-VL-8B-Instruct": "qwen3-vl",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": "tinyllama",
    "allenai/OLMo-2-1124-7B": "olmo2",
    "baichuan-inc/Baichuan2-7B-Base": "baichuan",
    "bigcode/starcoder2-7b": "starcoder2",
    "codellama/CodeLlama-34b-hf": "codellama",
    "codellama/CodeLlama-7b-hf": "codellama",
    "deepseek-ai/DeepSeek-R1": "deepseek-v3",
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": "deepseek-r1-distill-llama",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": "deepseek-r1-distill-qwen",
    "deepseek-ai/DeepSeek-V2-Lite": "deepseek-v2",
    "deepseek-ai/DeepSeek-V3": "deepseek-v3",
    "google-bert/bert-base-uncased": "bert",
    "google/flan-t5-base": "t5",
    "google/gemma-2-9b-it": "gemma2",
    "google/gemma-3-1b-pt": "gemma3",
    "google/gemma-3-4b-it": "gemma3",
    "google/gemma-3n-E4B-it": "gemma3n",
    "google/gemma-4-12B-it": "gemma4-unified",
    "google/gemma-4-E4B-it": "gemma4",
    "google/gemma-7b": "gemma",
    "huggyllama/llama-7b": "llama",
    "ibm-granite/granite-3.1-8b-instruct": "granite",
    "internlm/internlm2-7b": "internlm",
    "internlm/internlm3-8b-instruct": "internlm3",
    "meta-llama/Llama-2-70b-chat-hf": "llama2",
    "meta-llama/Llama-2-7b-hf": "llama2",
    "meta-llama/Llama-3.1-405B": "llama3.1",
    "meta-llama/Llama-3.2-11B-Vision": "llama3.2-vision",
    "meta-llama/Llama-3.2-1B": "llama3.2",
    "meta-llama/Llama-3.2-3B-Instruct": "llama3.2",
    "meta-llama/Llama-3.3-70B-Instruct": "llama3.3",
    "meta-llama/Llama-4-Scout-17B-16E": "llama4",
    "meta-llama/Meta-Llama-3-8B": "llama3",
    "meta-llama/Meta-Llama-3.1-8B-Instruct": "llama3.1",
    "microsoft/Phi-3-mini-4k-instruct": "phi-3",
    "microsoft/Phi-3.5-MoE-instruct": "phi-3.5-moe",
    "microsoft/Phi-3.5-mini-instruct": "phi-3.5",
    "microsoft/Phi-4-mini-instruct": "phi-4",
    "microsoft/phi-2": "phi-2",
    "microsoft/phi-4": "phi-4",
    "mistralai/Mistral-7B-Instruct-v0.3": "mistral",
    "mistralai/Mistral-7B-v0.1": "mistral",
    "mistralai/Mistral-Nemo-Base-2407": "mistral",
    "mistralai/Mistral-Small-3.1-24B-Base-2503": "mistral3",
    "mistralai/Mixtral-8x7B-Instruct-v0.1": "mixtral",
    "moonshotai/Kimi-K2-Thinking": "kimi-k2",
    "openai-community/gpt2": "gpt2",
    "openai/gpt-oss-20b": "gpt-oss",
    "openai/whisper-small": "whisper",
    "tencent/HunyuanOCR": "hunyuan-ocr",
    "tiiuae/falcon-7b": "falcon",
    "zai-org/AutoGLM-Phone-9B": "autoglm-phone",
    "zai-org/GLM-4-9B-0414": "glm-4",
    "zai-org/GLM-4.1V-9B-Thinking": "glm-4.1v",
    "zai-org/GLM-4.5-Air": "glm-4.5",
    "zai-org/GLM-4.6V": "glm-4.6v",
    "zai-org/GLM-4.6V-FP8": "glm-4.6v-fp8",
    "zai-org/GLM-4.6V-Flash": "glm-4.1v",
    "zai-org/GLM-ASR-Nano-2512": "glm-asr",
    "zai-org/glm-4-9b-chat": "glm-4-chat",
    "zai-org/glm-4v-9b": "glm-4v",
}
# Without a name these configs are those of another family, byte for byte where it matters: the answer must say so.
ONLY_A_NAME_TELLS = {
    "Qwen/QwQ-32B", "Qwen/Qwen2-0.5B-Instruct", "Qwen/Qwen2-7B", "Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B-Instruct",
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    "meta-llama/Llama-3.3-70B-Instruct", "microsoft/Phi-3-mini-4k-instruct", "microsoft/Phi-3.5-mini-instruct",
    "zai-org/AutoGLM-Phone-9B",
}  # fmt: skip


def config(name: str, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((CONFIGS / f"{name.replace('/', '--')}.json").read_text(encoding="utf-8"))
    return {key: value for key, value in {**document, **changes}.items() if value is not ...}


@cache
def known() -> tuple[Any, Any]:
    return load_matrix(), load_support()


def resolve(document: Any, name: str | None = None) -> Match:
    return match(document, name, *known())


def family_of(found: Match) -> str | None:
    return found.family.id if found.family else None


LLAMA_2, LLAMA_3, LLAMA_31 = "meta-llama/Llama-2-7b-hf", "meta-llama/Meta-Llama-3-8B", "meta-llama/Llama-3.1-405B"


def test_every_config_has_its_expectation() -> None:
    assert {path.stem.replace("--", "/") for path in CONFIGS.iterdir()} == set(FAMILIES)


@pytest.mark.parametrize(("name", "family"), FAMILIES.items())
def test_a_published_config_with_its_name(name: str, family: str) -> None:
    found = resolve(config(name), name)
    assert (family_of(found), found.certainty, found.basis) == (family, "exact", "config")
    assert found.pins or (found.family is not None and found.family.unpinnable)
    assert found.evidence


@pytest.mark.parametrize(("name", "family"), FAMILIES.items())
def test_a_published_config_alone(name: str, family: str) -> None:
    found = resolve(config(name))
    possible = {family_of(found), *found.alternatives}
    assert family in possible
    if name in ONLY_A_NAME_TELLS:
        assert len(possible) > 1, "the config cannot tell, so the answer must not pretend to"
    else:
        assert family_of(found) == family


@pytest.mark.parametrize("name", ["Qwen2.5-7B-finetune", "Meta-Llama-3.1-8B", "mistral-7b", "x" * 5000, "\0", "../.."])
def test_a_misleading_name_does_not_outweigh_the_config(name: str) -> None:
    assert family_of(resolve(config(LLAMA_2), name)) == "llama2"


def test_a_misleading_name_is_remarked_on() -> None:
    assert any("Qwen2.5" in line for line in resolve(config(LLAMA_2), "Qwen2.5-7B-finetune").evidence)


@pytest.mark.parametrize("rows", [32000, 32001, 32064])
def test_a_grown_vocabulary_is_the_same_family(rows: int) -> None:
    assert family_of(resolve(config(LLAMA_2, vocab_size=rows))) == "llama2"
    assert family_of(resolve(config(LLAMA_31, vocab_size=128256 + rows))) == "llama3.1"


def test_rope_type_llama3_decides_over_vocabulary_and_name() -> None:
    for name in (None, "Llama-2-7b", "Meta-Llama-3-8B"):
        found = resolve(config(LLAMA_31), name)
        assert family_of(found) == "llama3.1"
        assert found.pins["transformers"] == "4.43.1"
        assert "`rope_scaling.rope_type` is llama3" in found.evidence
    assert "llama3" in {one.family for one in resolve(config(LLAMA_31)).considered}


def test_without_model_type_the_architecture_is_read() -> None:
    assert family_of(resolve(config(LLAMA_31, model_type=...))) == "llama3.1"
    assert family_of(resolve(config("Qwen/Qwen2-VL-7B-Instruct", model_type=...))) == "qwen2-vl"


@pytest.mark.parametrize("document", [None, {}, {"vocab_size": 3}, {"model_type": ""}, {"model_type": 3}])
def test_without_a_type_only_the_name_is_left(document: Any) -> None:
    nameless = resolve(document)
    assert (nameless.family, nameless.certainty, nameless.pins) == (None, "unknown", {})
    named = resolve(document, "meta-llama/Llama-3.1-8B")
    assert (family_of(named), named.basis) == ("llama3.1", "name")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("meta-llama/Meta-Llama-3-8B", "llama3"), ("llama3-8b", "llama3"), ("Llama-3-70B-Instruct", "llama3"),
        ("meta-llama/Meta-Llama-3.1-70B", "llama3.1"), ("my_llama3_1_lora", "llama3.1"), ("llama-3-1-8b", "llama3.1"),
        ("meta-llama/Llama-3.2-1B", "llama3.2"), ("meta-llama/Llama-3.2-90B-Vision", "llama3.2-vision"),
        ("Qwen/Qwen2.5-VL-72B", "qwen2.5-vl"), ("qwen2_5-7b", "qwen2.5"), ("Qwen2-7B-lora", "qwen2"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "deepseek-r1-distill-qwen"), ("Qwen/Qwen3-0.6B", "qwen3"),
        ("Qwen/Qwen3-30B-A3B", "qwen3-moe"), ("unsloth/gemma-2-9b-bnb-4bit", "gemma2"), ("llama3.1", "llama3.1"),
    ],
)  # fmt: skip
def test_names_alone(name: str, family: str) -> None:
    assert family_of(resolve(None, name)) == family


def test_a_config_of_transformers_5_is_not_read_by_4() -> None:
    old = config(LLAMA_31)
    rope = {**old["rope_scaling"], "rope_theta": old["rope_theta"]}
    new = config(LLAMA_31, rope_scaling=..., rope_theta=..., rope_parameters=rope, transformers_version="5.1.0")
    found = resolve(new)
    assert family_of(found) == "llama3.1"
    assert found.pins["transformers"].startswith("5.")
    assert any("`rope_theta` as 10000" in line for line in found.evidence)


def test_no_scaling_as_transformers_5_writes_it_is_no_scaling() -> None:
    rope = {"rope_type": "default", "rope_theta": 500000.0}
    new = config(LLAMA_3, rope_scaling=..., rope_theta=..., rope_parameters=rope, transformers_version="5.1.0")
    assert family_of(resolve(new)) == "llama3"


def test_a_type_that_only_the_index_knows() -> None:
    found = resolve({"model_type": "codegen", "transformers_version": "4.47.1"})
    assert (found.certainty, found.pins["transformers"]) == ("not listed", "4.47.1")
    assert found.window == ("4.21.0", None)
    assert "peft" in found.pins


def test_a_config_older_than_peft_gets_pins_that_can_merge() -> None:
    found = resolve({"model_type": "xglm", "transformers_version": "4.21.0.dev0"})
    assert (found.certainty, "peft" in found.pins) == ("not listed", True)


@pytest.mark.parametrize("version", ["9.1.0", None, "soon", "4.45.2"])
def test_a_type_newer_than_any_release(version: str | None) -> None:
    found = resolve({"model_type": "llama9", "transformers_version": version})
    assert (found.family, found.certainty, found.pins) == (None, "unknown", {})
    assert any("knows" in line for line in found.evidence)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["model_type", "architectures", "vocab_size", "rope_scaling", "rope_parameters", "rope_theta", "text_config",
     "quantization_config", "transformers_version", "hidden_size", "vision_config", "intermediate_size"]
)  # fmt: skip
TYPES = st.sampled_from(["llama", "qwen2", "phi3", "chatglm", "glm4v_moe", "bloom", "", "x" * 999, "\ud800", "4"])


@given(
    st.none() | st.dictionaries(KEYS | st.text(max_size=6), JSON, max_size=8),
    st.none() | TYPES,
    st.none() | st.text(max_size=40),
)
def test_any_json_gets_an_answer(document: dict[str, Any] | None, kind: str | None, name: str | None) -> None:
    if document is not None and kind is not None:
        document["model_type"] = kind
    found = resolve(document, name)
    assert (found.family is None) <= (found.certainty in {"unknown", "not listed", "by name"})
    assert found.evidence
    assert all(line.isprintable() for line in found.evidence)
    assert found == resolve(document, name)


@given(st.dictionaries(KEYS, JSON, max_size=6), st.sampled_from(sorted(FAMILIES)))
def test_any_change_of_a_published_config_gets_an_answer(changes: dict[str, Any], name: str) -> None:
    resolve({**config(name), **changes}, name)
