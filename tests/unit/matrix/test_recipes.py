"""The table of tiny models: each is of its family's type, small, and written as a config.json is."""

from __future__ import annotations

import json

import pytest

from envpin.matrix.load import load_matrix
from envpin.matrix.recipes import family_of, load_recipes
from envpin.workers.tiny import recipe

RECIPES = load_recipes()
FAMILIES = load_matrix().families


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_of_its_family(name: str) -> None:
    config, targets = RECIPES[name].config, RECIPES[name].targets
    assert config["model_type"] in FAMILIES[family_of(name)].match.model_type
    architectures = config["architectures"]
    assert isinstance(architectures, list)
    assert len(architectures) == 1
    assert json.loads(json.dumps(config)) == config
    assert targets
    assert len(set(targets)) == len(targets)


def test_worker_and_controller_read_the_same_recipes() -> None:
    made = recipe.load_recipes()
    assert set(made) == set(RECIPES)
    for name, one in RECIPES.items():
        assert (made[name].task, tuple(made[name].targets)) == (one.task, one.targets)
        assert json.dumps(made[name].config) == json.dumps(one.config)


def test_most_native_families_have_a_recipe() -> None:
    native = {family.id for family in FAMILIES.values() if family.kind == "native"}
    assert len(native & set(RECIPES)) >= 45


def test_features_that_tell_families_apart_are_kept() -> None:
    def config(name: str, key: str) -> object:
        return RECIPES[name].config[key]

    assert config("llama3.1", "rope_scaling")["rope_type"] == "llama3"  # type: ignore[index]
    assert config("llama3.2", "tie_word_embeddings") is True
    assert config("mistral", "sliding_window") == 16
    assert config("deepseek-v3", "q_lora_rank") == 32
    assert config("deepseek-v2", "q_lora_rank") is None
    assert config("gemma2", "attn_logit_softcapping") == 50.0
    assert "qkv_proj" in RECIPES["phi-3"].targets
    assert {"w1", "w2", "w3"} <= set(RECIPES["mixtral"].targets)
