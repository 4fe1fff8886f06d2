"""What an adapter changes, by its config and the names and shapes in its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from envpin.workers.prove.changes import TensorChange, read

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULE = "model.layers.0.self_attn.q_proj"
A, B = f"base_model.model.{MODULE}.lora_A.weight", f"base_model.model.{MODULE}.lora_B.weight"
SHAPES: dict[str, tuple[int, ...]] = {A: (4, 64), B: (64, 4)}


def only(config: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> TensorChange:
    (found,) = read(config, dict(shapes))
    return found


def test_lora_is_a_low_rank_change_of_its_modules_weight() -> None:
    found = only({"peft_type": "LORA", "r": 4, "lora_alpha": 8}, SHAPES)
    assert (found.key, found.kind, found.left, found.right, found.scale) == (f"{MODULE}.weight", "low-rank", B, A, 2.0)


def test_lora_names_may_carry_the_adapters_name() -> None:
    named = {A.replace("lora_A", "lora_A.default"): (4, 64), B.replace("lora_B", "lora_B.default"): (64, 4)}
    assert only({"lora_alpha": 8}, named).kind == "low-rank"


def test_the_scale_is_that_of_the_release_at_hand() -> None:
    config = {"lora_alpha": 8, "alpha_pattern": {"v_proj|q_proj": 6}}
    old, new = (read(config, dict(SHAPES), release)[0].scale for release in ((0, 12), (0, 21)))
    assert (old, new) == (2.0, 1.5)


def test_a_trained_bias_may_stand_in_no_module() -> None:
    found = only({"bias": "all"}, {"base_model.model.final_logits_bias": (1, 100)})
    assert (found.key, found.kind) == ("final_logits_bias", "whole")


def test_dora_rows_whole_tensors_and_biases_are_told_apart() -> None:
    prefix = "base_model.model."
    shapes = {
        **SHAPES,
        f"{prefix}{MODULE}.lora_magnitude_vector": (64,),
        f"{prefix}score.weight": (3, 64),
        f"{prefix}model.embed_tokens.token_adapter.trainable_tokens_delta": (2, 64),
        f"{prefix}{MODULE}.lora_B.bias": (64,),
    }
    config = {"lora_alpha": 8, "trainable_token_indices": {"embed_tokens": [3, 5]}}
    kinds = {one.key: one.kind for one in read(config, shapes)}
    assert kinds == {
        f"{MODULE}.weight": "dora",
        f"{MODULE}.bias": "low-rank",
        "score.weight": "whole",
        "model.embed_tokens.weight": "rows",
    }


def test_a_table_saved_beside_its_factors_is_what_they_are_added_to() -> None:
    prefix = "base_model.model.model.embed_tokens"
    shapes = {
        f"{prefix}.lora_embedding_A": (4, 100),
        f"{prefix}.lora_embedding_B": (64, 4),
        f"{prefix}.base_layer.weight": (100, 64),
    }
    found = only({"lora_alpha": 8}, shapes)
    assert found.embedding
    assert found.start == f"{prefix}.base_layer.weight"


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"peft_type": "LOHA"}, "LOHA"),
        ({"use_qalora": True}, "use_qalora"),
        ({"init_lora_weights": "corda"}, "corda"),
        ({"init_lora_weights": "loftq"}, "loftq"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"a_field_of_tomorrow": {"x": 1}}, "a_field_of_tomorrow"),
    ],
)
def test_what_is_not_known_is_left_to_peft_with_the_reason(config: dict[str, Any], word: str) -> None:
    found = only({"lora_alpha": 8, **config}, SHAPES)
    assert found.kind == "by-peft"
    assert word in str(found.why)


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_what_loading_takes_off_the_base_is_part_of_the_change(start: str) -> None:
    assert only({"lora_alpha": 8, "init_lora_weights": start}, SHAPES).initial == start


@pytest.mark.parametrize("start", [True, False, "gaussian", "eva", "orthogonal"])
def test_other_starts_leave_the_base_alone(start: object) -> None:
    found = only({"lora_alpha": 8, "init_lora_weights": start}, SHAPES)
    assert (found.kind, found.initial) == ("low-rank", None)


def test_factors_that_do_not_belong_together_are_left_to_peft() -> None:
    assert only({"lora_alpha": 8}, {A: (4, 64), B: (64, 8)}).kind == "by-peft"
    assert only({"lora_alpha": 8}, {A: (4, 64)}).kind == "by-peft"


@pytest.mark.parametrize("method", ["DELORA", "MISS", "OF_TOMORROW"])
def test_a_methods_tensors_are_told_to_belong_to_the_modules_that_they_are_in(method: str) -> None:
    """Whatever the method: what its name begins with is no part of the module's."""
    at = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors: dict[str, tuple[int, ...]] = {f"{at}.{method.lower()}_{part}": (4, 4) for part in ("A", "B.weight")}
    (found,) = read({"peft_type": method}, tensors)
    assert (found.key, found.kind) == ("model.layers.0.self_attn.q_proj.weight", "by-peft")
    assert found.tensors == tuple(sorted(tensors))


def test_projections_that_every_module_shares_are_no_module() -> None:
    vera = {"base_model.vera_A": (8, 64), f"base_model.model.{MODULE}.vera_lambda_b": (64,)}
    assert only({"peft_type": "VERA"}, vera).key == f"{MODULE}.weight"
    assert only({"peft_type": "VERA"}, {"base_model.vera_A": (8, 64)}).kind == "by-peft"


def test_trained_rows_of_a_table_that_grew_start_from_the_table_that_the_adapter_brings() -> None:
    prefix = "base_model.model.model.embed_tokens.token_adapter"
    shapes = {f"{prefix}.trainable_tokens_delta": (2, 64), f"{prefix}.base_layer.weight": (102, 64)}
    found = only({"trainable_token_indices": [100, 101]}, shapes)
    assert (found.key, found.kind, found.indices) == ("model.embed_tokens.weight", "rows", (100, 101))
    assert found.start == f"{prefix}.base_layer.weight"


def test_a_table_that_a_pissa_adapter_brings_has_its_first_change_taken_off_already() -> None:
    config = {"lora_alpha": 8, "init_lora_weights": "pissa"}
    brought = {**SHAPES, f"base_model.model.{MODULE}.base_layer.weight": (64, 64)}
    assert (only(config, SHAPES).initial, only(config, brought).initial) == ("pissa", None)
