"""A recipe is the config that a model is published with, and only its sizes are shrunk.

`tests/data/published_configs.json` holds those configs, each with where it was read; `source` says `memory` where the
Hub could not be asked when it was written down, and `in part` where not the whole file was known. What could not be
compared is there, too, under `not_compared`, with the reason.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from envpin.matrix.recipes import load_recipes

FILE = Path(__file__).resolve().parents[1] / "data" / "published_configs.json"
WRITTEN: dict[str, dict[str, Any]] = json.loads(FILE.read_text())
PUBLISHED = {name: one for name, one in WRITTEN.items() if "not_compared" not in one}
RECIPES = load_recipes()

# What may differ: sizes and counts, ids inside a smaller vocabulary, what is random while training, the dtype, and
# lists with an entry for each layer, stage, window or rotary dimension; Granite's multiplier is one over its head_dim.
SIZE = re.compile(
    r"^(?!mscale_)(.*_)?(size|dim|rank|heads|layers|experts|groups|group|window|tokens?_id|token_index|dropout|pdrop|prob|layerdrop|rate)$"
    r"|^(n_|num_|d_|max_source|moe_(inter|k$|layer_end|num|topk|capacity|shared)|mamba_d_|mamba_n_|mamba_chunk|index_(topk|head|n_)|encoder_|decoder_(att|ffn|lay)|linear_|image_)"
    r"|^(dim|hidden_dim|embed_dim|depth|depths|dtype|torch_dtype|rotary_dim|o_lora_rank|o_groups|hc_mult|word_embed_proj_dim)$"
    r"|^(first_k_dense_replace|topk_group|position_buckets|local_attention|encoder_stride|conv_dim|layer_types|ffn_dim)$"
    r"|^(hybrid_override_pattern|compress_ratios|intermediate_size|activation_sparsity_pattern|shared_intermediate_size)$"
    r"|^(mrope_section|xdrope_section|fullatt_block_indexes|full_attention_interval|max_window_layers|projection_dim)$"
    r"|^(attn_layer_offset|attn_layer_period|expert_layer_offset|embedding_size|out_hidden_size|num_kv_shared_layers)$"
    r"|^(query_pre_attn_scalar|mm_tokens_per_image|output_dim|text_hidden_size|time_step_rank|chunk_size|laurel_rank)$"
    r"|^(hidden|vocab)_size_per_layer_input$"
    r"|^(intermediate_size_mlp|experts_per_token|deepstack_visual_indexes|insert_layer_id|(long|short)_factor)$"
    r"|^(attention_multiplier)$"
    r"|^(max_image_size|position_embedding_size|max_position_embeddings|id2label|label2id|state_size|ssm_state_size)$"
)
# Kernels that a CPU does not have, and prediction heads for several tokens that no release builds.
ELSEWHERE = {"use_mamba_kernels", "use_mtp", "architectures"}


def differences(published: dict[str, Any], made: dict[str, Any], path: str = "") -> list[str]:
    """Fields of the published config that the recipe lacks or has otherwise; sizes are left out of account."""
    found = []
    for key, value in published.items():
        at = f"{path}{key}"
        if key not in made:
            found.append(f"{at} is missing")
        elif isinstance(value, dict) and isinstance(made[key], dict) and not SIZE.search(key):
            found += differences(value, made[key], f"{at}.")
        elif made[key] != value and not SIZE.search(key) and key not in ELSEWHERE:
            found.append(f"{at} is {made[key]!r}, published as {value!r}")
    return found


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_recipe_has_every_published_field_and_shrinks_only_sizes(name: str) -> None:
    assert differences(PUBLISHED[name]["config"], dict(RECIPES[name].config)) == []
    assert PUBLISHED[name]["source"]
    assert PUBLISHED[name]["model"]


def test_every_recipe_is_compared_or_said_not_to_be() -> None:
    assert set(WRITTEN) == set(RECIPES)
    assert all(one["not_compared"] for name, one in WRITTEN.items() if name not in PUBLISHED)
    assert len(PUBLISHED) >= 118
    assert sum("public copy" in one["source"] for one in PUBLISHED.values()) >= 40


def test_a_recipe_that_forgets_a_field_or_turns_a_switch_is_found() -> None:
    config = PUBLISHED["deberta-v3"]["config"]
    made = dict(RECIPES["deberta-v3"].config)
    assert differences(config, {**made, "relative_attention": False}) == [
        "relative_attention is False, published as True"
    ]
    del made["pos_att_type"]
    assert differences(config, made) == ["pos_att_type is missing"]


def test_a_size_is_no_switch() -> None:
    for name in (
        "mscale_all_dim",
        "hidden_act",
        "tie_word_embeddings",
        "use_qk_norm",
        "rope_theta",
        "scoring_func",
        "attention_bias",
    ):
        assert not SIZE.search(name)
