"""Models of other types than language models against their configs: of every class, by the names of every release."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from envpin.diagnose.check import check
from envpin.diagnose.forms import formed
from tests.support.checkpoints import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from envpin.core.findings import Finding

Shapes = dict[str, tuple[int, ...]]
_BERT: dict[str, Any] = {
    "model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 16, "vocab_size": 60,
    "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 40,
    "type_vocab_size": 2, "id2label": {"0": "a", "1": "b", "2": "c"}, "transformers_version": "4.57.6",
}  # fmt: skip
_T5: dict[str, Any] = {
    "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 16, "d_kv": 8, "d_ff": 24,
    "num_layers": 2, "num_heads": 2, "vocab_size": 60, "feed_forward_proj": "gated-gelu", "is_encoder_decoder": True,
}  # fmt: skip
_WHISPER: dict[str, Any] = {
    "model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"], "d_model": 16, "encoder_layers": 2,
    "decoder_layers": 3, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24, "vocab_size": 60, "max_source_positions": 30, "max_target_positions": 20, "num_mel_bins": 8,
}  # fmt: skip
_SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
_LLAVA: dict[str, Any] = {
    "model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], "tie_word_embeddings": False,
    "text_config": {"model_type": "llama", **_SIZES, "num_key_value_heads": 1, "vocab_size": 60},
    "vision_config": {"model_type": "clip_vision_model", **_SIZES, "image_size": 8, "patch_size": 4},
}  # fmt: skip
_QWEN_VL: dict[str, Any] = {
    "model_type": "qwen2_vl", "architectures": ["Qwen2VLForConditionalGeneration"], "tie_word_embeddings": True,
    **_SIZES, "num_key_value_heads": 1, "vocab_size": 60, "rope_scaling": {"type": "mrope"},
    "vision_config": {"depth": 2, "embed_dim": 8, "mlp_ratio": 4, "num_heads": 2, "in_chans": 3, "hidden_size": 16,
                      "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
}  # fmt: skip
_QWEN3_VL: dict[str, Any] = {
    "model_type": "qwen3_vl", "architectures": ["Qwen3VLForConditionalGeneration"], "tie_word_embeddings": False,
    "text_config": {**_SIZES, "num_key_value_heads": 1, "vocab_size": 60, "head_dim": 4},
    "vision_config": {"depth": 6, "hidden_size": 8, "intermediate_size": 24, "num_heads": 2, "out_hidden_size": 16,
                      "num_position_embeddings": 64, "patch_size": 4, "deepstack_visual_indexes": [1, 3, 5]},
}  # fmt: skip
_WAV2VEC2: dict[str, Any] = {
    "model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"], **_SIZES, "vocab_size": 32,
    "num_conv_pos_embedding_groups": 4, "num_conv_pos_embeddings": 12,
}  # fmt: skip
_ELECTRA = {**_BERT, "model_type": "electra", "architectures": ["ElectraForSequenceClassification"]}
_DEBERTA: dict[str, Any] = {
    **_BERT, "model_type": "deberta-v2", "architectures": ["DebertaV2ForSequenceClassification"], "type_vocab_size": 0,
    "relative_attention": True, "pos_att_type": "p2c|c2p", "position_biased_input": False, "position_buckets": 256,
    "norm_rel_ebd": "layer_norm", "share_att_key": True,
}  # fmt: skip
_SMOLVLM: dict[str, Any] = {
    "model_type": "smolvlm", "architectures": ["SmolVLMForConditionalGeneration"], "tie_word_embeddings": False,
    "text_config": {"model_type": "llama", **_SIZES, "num_key_value_heads": 1, "vocab_size": 60, "head_dim": 8},
    "vision_config": {**_SIZES, "hidden_size": 8, "image_size": 8, "patch_size": 4}, "scale_factor": 3,
}  # fmt: skip
_MLLAMA: dict[str, Any] = {
    "model_type": "mllama", "architectures": ["MllamaForConditionalGeneration"],
    "text_config": {**_SIZES, "num_hidden_layers": 5, "num_key_value_heads": 1, "vocab_size": 60,
                    "cross_attention_layers": [3]},
    "vision_config": {"attention_heads": 2, "hidden_size": 8, "image_size": 8, "patch_size": 4, "num_global_layers": 1,
                      "intermediate_size": 24, "num_hidden_layers": 2, "intermediate_layers_indices": [0]},
}  # fmt: skip
_MAMBA: dict[str, Any] = {
    "model_type": "mamba", "architectures": ["MambaForCausalLM"], "hidden_size": 16, "intermediate_size": 32,
    "num_hidden_layers": 2, "state_size": 4, "time_step_rank": 1, "vocab_size": 60,
}  # fmt: skip
_ALL = {
    "bert": _BERT, "t5": _T5, "whisper": _WHISPER, "llava": _LLAVA, "qwen2_vl": _QWEN_VL, "wav2vec2": _WAV2VEC2,
    "smolvlm": _SMOLVLM, "qwen3_vl": _QWEN3_VL, "deberta-v2": _DEBERTA,
}  # fmt: skip
_OF_HALVES = {"model-tensors-missing", "architecture-drift"}


def whole(config: dict[str, Any]) -> Shapes:
    found = formed(config, {})
    assert found is not None
    return {name: tuple(one or 1 for one in shape) for name, shape in found.shapes.items()}


def said(tmp_path: Path, shapes: Shapes, config: dict[str, Any]) -> dict[str, Finding]:
    found = check(write_model(tmp_path / "model", shapes, config)).findings
    return {one.code: one for one in found if one.code in _OF_HALVES}


def test_tensors_and_their_shapes_are_told_of_a_classifier() -> None:
    shapes = whole(_BERT)
    assert shapes["encoder.layer.1.output.dense.weight"] == (16, 24)
    assert (shapes["classifier.weight"], shapes["embeddings.position_embeddings.weight"]) == ((3, 16), (40, 16))


@pytest.mark.parametrize(
    ("kind", "rename"),
    [
        ("bert", lambda name: name),
        ("bert", lambda name: name if name.startswith("classifier") else f"bert.{name}"),
        ("bert", lambda name: re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", name.replace("m.weight", "m.gamma"))),
        ("t5", lambda name: name.replace("shared.", "encoder.embed_tokens.")),
        ("whisper", lambda name: name if name.startswith("proj") else f"model.{name}"),
        ("llava", lambda name: name.replace("vision_tower.", "vision_tower.vision_model.")),
        ("llava", lambda name: f"model.{name}" if name.startswith("vision") else f"model.language_model.{name}"),
        ("llava", lambda name: name if name.startswith(("vision", "multi")) else f"language_model.model.{name}"),
        ("qwen2_vl", lambda name: name if name.startswith(("visual", "lm_head")) else f"model.{name}"),
        ("wav2vec2", lambda name: name.replace("parametrizations.weight.original0", "weight_g")),
        ("wav2vec2", lambda name: name.replace("parametrizations.weight.original1", "weight_v")),
        ("smolvlm", lambda name: name if name.startswith("lm_head") else f"model.{name}"),
        ("deberta-v2", lambda name: name if name.startswith(("classifier", "pooler")) else f"deberta.{name}"),
    ],
)
def test_nothing_is_said_of_a_whole_model_by_any_release_s_names(
    kind: str, rename: Callable[[str], str], tmp_path: Path
) -> None:
    shapes = {rename(name): shape for name, shape in whole(_ALL[kind]).items()}
    assert said(tmp_path, shapes, _ALL[kind]) == {}


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("bert", "classifier.weight"), ("bert", "pooler.dense.bias"), ("bert", "encoder.layer.1."),
        ("t5", "decoder.block.1.layer.2.DenseReluDense.wi_1"), ("t5", "shared"), ("whisper", "encoder.conv1.weight"),
        ("whisper", "decoder.layers.2."), ("llava", "vision_tower.encoder.layers.0."), ("llava", "lm_head"),
        ("t5", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
    ],
)  # fmt: skip
def test_lost_tensors_are_a_blocker(kind: str, part: str, tmp_path: Path) -> None:
    shapes = {name: shape for name, shape in whole(_ALL[kind]).items() if not name.startswith(part)}
    found = said(tmp_path, shapes, _ALL[kind])["model-tensors-missing"]
    assert found.severity == "blocker"
    assert (found.evidence[0].tensor or "").startswith(part)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("bert", {"hidden_size": 32}), ("bert", {"id2label": {"0": "a"}}), ("bert", {"vocab_size": 61}),
        ("t5", {"d_kv": 4}), ("whisper", {"num_mel_bins": 16}),
        ("llava", {"text_config": {**_LLAVA["text_config"], "vocab_size": 64}}),
        ("llava", {"vision_config": {**_LLAVA["vision_config"], "patch_size": 8}}),
    ],
)  # fmt: skip
def test_fields_that_the_tensors_go_against_are_a_blocker(kind: str, fields: dict[str, Any], tmp_path: Path) -> None:
    found = said(tmp_path, whole(_ALL[kind]), _ALL[kind] | fields)
    assert found["architecture-drift"].severity == "blocker"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("bert", {"architectures": ["BertForNothing"]}), ("bert", {"architectures": None}),
        ("bert", {"position_embedding_type": "relative_key"}), ("bert", {"add_cross_attention": True}),
        ("bert", {"position_embedding_type": [1]}), ("t5", {"feed_forward_proj": "gated-silu"}),
        ("t5", {"hidden_size": 17}), ("bert", {"hidden_size": "16"}), ("llava", {"vision_config": None}),
("bert", {"num_hidden_layers": 10**9}),
    ],
)  # fmt: skip
def test_nothing_is_said_where_the_config_is_not_understood(kind: str, fields: dict[str, Any], tmp_path: Path) -> None:
    assert said(tmp_path, {"nothing.weight": (1,)}, _ALL[kind] | fields) == {}


@pytest.mark.parametrize(
    ("config", "name", "shape"),
    [
        (_QWEN_VL, "visual.merger.mlp.0.weight", (32, 32)), (_QWEN_VL, "layers.1.self_attn.k_proj.weight", (8, 16)),
        (_ELECTRA, "embeddings_project.weight", (16, 128)), (_ELECTRA | {"embedding_size": 16}, None, None),
        (_DEBERTA, "encoder.rel_embeddings.weight", (512, 16)), (_MAMBA, "layers.0.mixer.x_proj.weight", (9, 32)),
        (_SMOLVLM, "connector.modality_projection.proj.weight", (16, 72)),
        (_QWEN3_VL, "visual.deepstack_merger_list.2.linear_fc2.weight", (16, 32)),
        (_WAV2VEC2, "feature_extractor.conv_layers.0.layer_norm.weight", (512,)),
        (_WAV2VEC2 | {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
         "feature_extractor.conv_layers.6.conv.bias", (512,)),
    ],
)  # fmt: skip
def test_a_shape_is_told_by_several_fields(config: dict[str, Any], name: str | None, shape: object) -> None:
    shapes = whole(config)
    assert (shapes[name] == shape) if name else ("embeddings_project.weight" not in shapes)


def test_a_layer_is_of_the_kind_that_the_files_have() -> None:
    crossed = {"q_proj.weight": (16, 16), "k_proj.weight": (8, 16), "v_proj.weight": (8, 16), "o_proj.weight": (16, 16)}
    files = {f"layers.{at}.cross_attn.{name}": shape for at in (2, 3) for name, shape in crossed.items()}
    found = formed(_MLLAMA, files)
    assert found is not None
    assert [number for number in range(5) if f"layers.{number}.cross_attn.q_proj.weight" in found.shapes] == [2, 3]


def test_the_class_may_stand_in_the_config_of_the_text() -> None:
    text = {name: one for name, one in _QWEN_VL.items() if name not in ("model_type", "vision_config")}
    config = {"model_type": "qwen2_vl", "vision_config": _QWEN_VL["vision_config"], "text_config": text}
    assert whole(config) == whole(_QWEN_VL)


@pytest.mark.parametrize("number", [[5], [1, 3], [1, 2, 3, 4], ["1", "3", "5"], 3, None])
def test_a_list_of_another_length_tells_nothing(number: object) -> None:
    vision = _QWEN3_VL["vision_config"] | {"deepstack_visual_indexes": number}
    assert formed(_QWEN3_VL | {"vision_config": vision}, {}) is None


def test_a_variant_is_not_taken_for_the_default() -> None:
    assert formed({name: one for name, one in _DEBERTA.items() if name != "position_buckets"}, {}) is None


def test_a_head_of_another_class_and_old_buffers_are_no_finding(tmp_path: Path) -> None:
    more: Shapes = {"cls.predictions.bias": (60,), "cls.seq_relationship.weight": (2, 16), "lm_predictions.x": (1,)}
    shapes = whole(_BERT) | more | {"bert.embeddings.position_ids": (1, 40)}
    assert said(tmp_path, shapes, _BERT) == {}


@pytest.mark.parametrize("fields", [{"num_labels": 7}, {"id2label": {}}, {"num_labels": [3]}, {"id2label": None}])
def test_labels_that_two_fields_tell_otherwise_tell_nothing(fields: dict[str, Any], tmp_path: Path) -> None:
    found = said(tmp_path, whole(_BERT), _BERT | fields)
    assert bool(found) is (fields.get("id2label", 1) in ({}, None))


def test_a_layer_too_many_is_told(tmp_path: Path) -> None:
    shapes = whole(_BERT) | {"bert.encoder.layer.2.output.dense.bias": (16,)}
    assert said(tmp_path, shapes, _BERT)["architecture-drift"].severity == "warning"


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "base_model.model."])
def test_a_wrapper_is_told_in_front_of_the_names_of_any_release(wrapper: str, tmp_path: Path) -> None:
    shapes = {f"{wrapper}language_model.model.{name}": shape for name, shape in whole(_LLAVA).items()}
    message = said(tmp_path, shapes, _LLAVA)["model-tensors-missing"].message
    assert f"with `{wrapper}` in front" in message


def test_the_pooler_is_wanted_below_a_classifier_alone(tmp_path: Path) -> None:
    config = _BERT | {"architectures": ["BertModel"]}
    assert said(tmp_path, {name: one for name, one in whole(config).items() if "pooler" not in name}, config) == {}


def test_a_tied_head_of_a_part_need_not_be_there(tmp_path: Path) -> None:
    shapes = {name: one for name, one in whole(_LLAVA).items() if name != "lm_head.weight"}
    assert said(tmp_path, shapes, _LLAVA | {"tie_word_embeddings": True}) == {}


@pytest.mark.parametrize(("kind", "is_said"), [("mllama_text_model", False), ("mllama", False), ("bert", True)])
def test_the_language_model_of_a_model_of_several_has_a_type_of_its_own(
    kind: str, is_said: bool, tmp_path: Path
) -> None:
    found = said(tmp_path, {"nothing.weight": (1,)}, {"model_type": kind, "architectures": ["MllamaForCausalLM"]})
    assert ("architecture-drift" in found) is is_said
