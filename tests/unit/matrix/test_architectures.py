"""The type that a class name suggests, and models of a known type that are of another class."""

from __future__ import annotations

from typing import Any

import pytest

from envpin.core.resources import data_path
from envpin.matrix.architectures import architecture_type, foreign_class
from envpin.matrix.load import load_matrix
from envpin.matrix.match import match
from envpin.matrix.recipes import load_recipes
from envpin.matrix.support import load_support, shipped_path

MATRIX, SUPPORT = load_matrix(data_path("compat_matrix.toml")), load_support(shipped_path())


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("LlamaForCausalLM", "llama"), ("Qwen2VLForConditionalGeneration", "qwen2_vl"), ("GPT2LMHeadModel", "gpt2"),
        ("T5Model", "t5"), ("BertModelForX", "bert"), ("T5WithLMHeadModel", "t5"), ("GPT2DoubleHeadsModel", "gpt2"),
        ("MT5EncoderModel", "mt5"), ("NeverSeenForCausalLM", "never_seen"),
    ],
)  # fmt: skip
def test_architecture_type_from_the_name_of_a_class(architecture: str, kind: str) -> None:
    assert architecture_type(architecture) == kind


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("GPTNeoXForCausalLM", "gpt-neox"), ("XLMRobertaModel", "xlm-roberta"), ("Wav2Vec2ForCTC", "wav2vec2"),
        ("DebertaV2ForSequenceClassification", "deberta-v3"), ("InternVLForConditionalGeneration", "internvl3"),
        ("HunYuanDenseV1ForCausalLM", "hunyuan"), ("DINOv3ViTModel", "dinov3"), ("MiniMaxM2ForCausalLM", "minimax-m2"),
        ("GraniteMoeHybridForCausalLM", "granite4"),
    ],
)  # fmt: skip
def test_a_class_without_a_type_is_the_known_type_of_the_same_letters(architecture: str, family: str) -> None:
    found = match({"architectures": [architecture]}, None, MATRIX, SUPPORT)
    assert found.family is not None
    assert (found.family.id, found.certainty) == (family, "exact")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"]}, "LlavaLlamaForCausalLM"),
        ({"model_type": "llama", "architectures": ["LlavaLlamaForCausalLM"]}, "LlavaLlamaForCausalLM"),
        ({"model_type": "llava", "mm_vision_tower": "openai/clip"}, "mm_vision_tower"),
        ({"model_type": "qwen2", "architectures": ["LlavaQwenForCausalLM"]}, "LlavaQwenForCausalLM"),
        ({"model_type": "llama", "architectures": ["LlamaForCausalLMEagle3"]}, "LlamaForCausalLMEagle3"),
        ({"model_type": "llama", "medusa_num_heads": 4}, "medusa_num_heads"),
        ({"model_type": "qwen2", "architectures": ["Qwen2ForProcessRewardModel"]}, "Qwen2ForProcessRewardModel"),
        ({"model_type": "llama", "architectures": ["LlamaForRewardModelWithGating"]}, "LlamaForRewardModelWithGating"),
        (
            {
                "model_type": "xlm-roberta",
                "architectures": ["XLMRobertaModel"],
                "auto_map": {"AutoModel": "jinaai/xlm-roberta-flash-implementation--modeling_lora.XLMRobertaLoRA"},
            },
            "XLMRobertaLoRA",
        ),
    ],
)
def test_another_class_of_a_known_type_is_never_exact(config: dict[str, Any], said: str) -> None:
    found = match(config, None, MATRIX, SUPPORT)
    assert found.certainty == "ambiguous"
    assert any(said in line and "no proof" in line for line in found.evidence)


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        ("gemma3_text", "Gemma3ForCausalLM"), ("gemma3_text", "Gemma3TextModel"), ("llama4", "Llama4TextModel"),
        ("internlm3", "InternLM3ForCausalLM"), ("internlm3", "LlamaForCausalLM"), ("bert", "BertForMaskedLM"),
        ("ernie4_5", "Ernie4_5_ForCausalLM"), ("llama", "LlamaForSequenceClassification"),
        ("qwen2", "Qwen2ForTokenClassification"), ("llava", "LlavaForConditionalGeneration"),
        ("xlm-roberta", "XLMRobertaModel"), ("hunyuan_v1_moe", "HunYuanMoEV1ForCausalLM"),
    ],
)  # fmt: skip
def test_a_class_of_transformers_is_the_type_s_own(kind: str, architecture: str) -> None:
    assert foreign_class(kind, {"architectures": [architecture]}) is None


def test_own_code_under_the_class_name_of_transformers_is_a_note() -> None:
    config = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "is_causal": False}
    code = {"AutoModel": "modeling_qwen.Qwen2Model", "AutoModelForCausalLM": "modeling_qwen.Qwen2ForCausalLM"}
    assert not any("auto_map" in note for note in match(config, None, MATRIX, SUPPORT).notes)
    found = match({**config, "auto_map": code}, None, MATRIX, SUPPORT)
    assert found.certainty == match(config, None, MATRIX, SUPPORT).certainty
    assert any("`auto_map` names code" in note for note in found.notes)


def test_the_published_configs_of_the_matrix_are_of_the_type_s_own_classes() -> None:
    found = {name: foreign_class(str(one.config["model_type"]), one.config) for name, one in load_recipes().items()}
    assert {name: said for name, said in found.items() if said} == {}
