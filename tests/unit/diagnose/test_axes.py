"""What the axes of a parameter count: by the shapes that peft and transformers make for two models or two configs."""

from __future__ import annotations

import pytest

from envpin.diagnose.axes import differing, holds_vocabulary, is_of_an_adapter, positions_text, widths_text

LAYER = "base_model.model.model.layers.0."
TABLE = [
    (f"{LAYER}self_attn.q_proj.lora_A.default.weight", [8, 3072], [8, 4096], "hidden size 3072 (here 4096)"),
    (f"{LAYER}self_attn.k_proj.lora_B.default.weight", [1024, 8], [4096, 8],
     "key/value heads · head size 1024 (here 4096)"),
    (f"{LAYER}mlp.down_proj.lora_A.weight", [8, 14336], [8, 11008], "intermediate size 14336 (here 11008)"),
    (f"{LAYER}mlp.up_proj.lora_B.weight", [14336, 8], [11008, 8], "intermediate size 14336 (here 11008)"),
    (f"{LAYER}mlp.gate.weight", [128, 2048], [64, 2048], "number of experts 128 (here 64)"),
    (f"{LAYER}mlp.experts.lora_A.weight", [256, 2880], [1024, 2880], "rank · number of experts 256 (here 1024)"),
    (f"{LAYER}self_attn.q_norm.weight", [128], [64], "head size 128 (here 64)"),
    (f"{LAYER}self_attn.q_proj.lora_magnitude_vector", [4096], [3584], "query heads · head size 4096 (here 3584)"),
    (f"{LAYER}self_attn.k_proj.ia3_l", [1024, 1], [4096, 1], "key/value heads · head size 1024 (here 4096)"),
    (f"{LAYER}mlp.down_proj.ia3_l", [1, 14336], [1, 11008], "intermediate size 14336 (here 11008)"),
    ("base_model.model.model.embed_tokens.lora_embedding_A", [8, 32001], [8, 32000],
     "vocabulary rows 32001 (here 32000)"),
    ("base_model.model.model.embed_tokens.lora_embedding_B", [4096, 8], [4096, 16], "rank 8 (here 16)"),
    ("base_model.model.lm_head.modules_to_save.default.weight", [32001, 64], [32000, 64],
     "vocabulary rows 32001 (here 32000)"),
    ("base_model.model.score.modules_to_save.default.weight", [3, 64], [2, 64], "labels 3 (here 2)"),
    ("prompt_encoder.default.embedding.weight", [20, 64], [8, 64], "virtual tokens 20 (here 8)"),
    ("prompt_embeddings", [30, 8192], [30, 2048], "width of the prompts 8192 (here 2048)"),
    ("model.visual.blocks.0.attn.qkv.lora_A.default.weight", [8, 1280], [8, 1152],
     "hidden size of the vision tower 1280 (here 1152)"),
    ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight", [4, 768], [4, 1024],
     "width of the text encoder 768 (here 1024)"),
    ("model.encoder.conv1.weight", [1280, 128, 3], [1280, 80, 3], "input channels 128 (here 80)"),
    # Blocks of rotations: their widths together are the module's, whatever their number.
    (f"{LAYER}self_attn.q_proj.oft_R.default.weight", [4, 120], [2, 496], ""),
    (f"{LAYER}self_attn.q_proj.oft_R.default.weight", [4, 120], [8, 120], "hidden size 64 (here 128)"),
    (f"{LAYER}self_attn.q_proj.oft_r.default", [8, 512, 512], [32, 128, 128], ""),
    (f"{LAYER}self_attn.q_proj.oft_r.default", [1, 512, 512], [1, 128, 128], ""),
    (f"{LAYER}self_attn.q_proj.boft_R.default", [1, 1024, 4, 4], [1, 512, 8, 8], ""),
    (f"{LAYER}self_attn.q_proj.boft_R.default", [1, 1024, 4, 4], [1, 512, 4, 4], "hidden size 4096 (here 2048)"),
    # What a method's own settings give is counted by nothing here.
    (f"{LAYER}self_attn.q_proj.fourierft_spectrum.default", [1000], [3000], ""),
    (f"{LAYER}self_attn.q_proj.vera_lambda_d", [128], [256], ""),
    (f"{LAYER}self_attn.q_proj.lora_A.weight", [8, 320, 1, 1], [8, 320], ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "found", "expected", "says"), TABLE)
def test_what_differs_is_named_by_what_its_axis_counts(
    name: str, found: list[int], expected: list[int], says: str
) -> None:
    assert widths_text(differing(name, tuple(found), tuple(expected))) == says


def test_the_hidden_size_is_named_before_what_follows_from_it() -> None:
    some = [
        *differing(f"{LAYER}self_attn.k_proj.lora_B.weight", (512, 8), (1024, 8)) * 4,
        *differing(f"{LAYER}self_attn.k_proj.lora_A.weight", (8, 64), (8, 128)),
    ]
    assert widths_text(some) == "hidden size 64 (here 128), key/value heads · head size 512 (here 1024)"


@pytest.mark.parametrize(
    ("name", "found", "expected", "says"),
    [
        ("vision_model.embeddings.position_embedding.weight", (577, 1024), (257, 1024), "24·24 and 16·16 patches"),
        ("vision_model.embeddings.position_embedding.weight", (730, 1152), (1025, 1152), "27·27 and 32·32 patches"),
        ("vision_model.embeddings.position_embedding.weight", (50, 64), (78, 64), "50 positions, this model 78"),
        ("transformer.wpe.weight", (2048, 768), (1024, 768), "`max_position_embeddings`"),
    ],
)
def test_tables_of_positions_say_which_setting_differs(
    name: str, found: tuple[int, ...], expected: tuple[int, ...], says: str
) -> None:
    assert says in (positions_text(name, found, expected) or "")


def test_a_whole_models_names_are_told_from_those_of_an_adapter() -> None:
    assert not is_of_an_adapter("model.layers.0.self_attn.q_proj.weight")
    assert is_of_an_adapter("model.layers.0.self_attn.q_proj.lora_A.default.weight")
    assert is_of_an_adapter("base_model.model.model.embed_tokens.weight")
    assert is_of_an_adapter("prompt_embeddings")


@pytest.mark.parametrize(
    "module", ["model.embed_tokens", "lm_head.base_layer", "transformer.wte.modules_to_save.default"]
)
def test_an_embedding_is_known_inside_its_wrappers(module: str) -> None:
    assert holds_vocabulary(module)
    assert not holds_vocabulary(f"{module}.q_proj")
