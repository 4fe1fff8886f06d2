"""Which stored tensor another program means by a name."""

from __future__ import annotations

from envpin.workers.prove.names import Names, layer_of, paired

BASE = (
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.1.self_attn.q_proj.weight",
    "visual.blocks.0.attn.qkv.weight",
    "model.layers.0.input_layernorm.gamma",
)


def test_names_finds_a_name_under_another_prefix_by_its_end_and_its_numbers() -> None:
    names = Names(BASE)
    assert names.find("model.language_model.layers.1.self_attn.q_proj.weight") == BASE[2]
    assert names.find("language_model.model.embed_tokens.weight") == BASE[0]
    assert names.find("model.layers.0.input_layernorm.weight") == BASE[4]


def test_names_never_takes_another_layer_or_another_module() -> None:
    names = Names(BASE)
    assert names.find("model.layers.2.self_attn.q_proj.weight") is None
    assert names.find("model.layers.0.self_attn.k_proj.weight") is None


def test_names_leaves_open_what_fits_twice() -> None:
    names = Names(["text.layers.0.q_proj.weight", "vision.layers.0.q_proj.weight"])
    assert names.find("model.layers.0.q_proj.weight") is None
    assert names.find("model.text.layers.0.q_proj.weight") == "text.layers.0.q_proj.weight"


def test_paired_is_one_to_one_and_an_exact_name_wins() -> None:
    theirs = ["a.layers.0.q.weight", "layers.0.q.weight"]
    assert paired(["layers.0.q.weight", "b.layers.0.q.weight"], theirs) == {"layers.0.q.weight": "layers.0.q.weight"}


def test_a_head_of_the_base_takes_no_tensor_of_an_encoder_without_it() -> None:
    """BertModel saves without `bert.` what BertForMaskedLM saves with it, and a pooler that the other has not."""
    ours = ["bert.embeddings.LayerNorm.weight", "cls.predictions.transform.LayerNorm.weight"]
    ours += ["cls.predictions.transform.dense.weight", "bert.encoder.layer.0.output.dense.weight"]
    theirs = ["embeddings.LayerNorm.weight", "encoder.layer.0.output.dense.weight", "pooler.dense.weight"]
    assert paired(ours, theirs) == {ours[0]: theirs[0], ours[3]: theirs[1]}


def test_another_word_in_the_place_of_a_prefix_is_no_other_module() -> None:
    assert paired(["backbone.norm.weight"], ["model.norm.weight"]) == {"backbone.norm.weight": "model.norm.weight"}


def test_layer_of_is_the_first_number() -> None:
    assert layer_of("model.layers.12.mlp.experts.3.up_proj.weight") == 12
    assert layer_of("lm_head.weight") is None
