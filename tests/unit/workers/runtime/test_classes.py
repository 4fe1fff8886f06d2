"""Names of an adapter's tensors against the modules of a class, and the labels of a head that it brings."""

from __future__ import annotations

import pytest

from envpin.workers.runtime.classes import lies_in, new_head_labels

MODULES = {"model.layers.0.self_attn.q_proj", "classifier.dense", "classifier.out_proj", "lm_head"}


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.randlora_lambda",
        "base_model.model.model.layers.0.self_attn.q_proj.base_layer.lora_B.weight",
        "base_model.model.lm_head.weight",
    ],
)
def test_a_tensor_lies_in_the_module_it_is_called_by(name: str) -> None:
    assert lies_in(name, MODULES)


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.vblora_vector_bank",
    ],
)
def test_a_tensor_of_another_class_lies_in_none(name: str) -> None:
    assert not lies_in(name, MODULES)


def test_labels_are_the_rows_of_the_last_layer_of_a_head() -> None:
    roberta = {
        "base_model.model.classifier.dense.weight": (64, 64),
        "base_model.model.classifier.out_proj.weight": (5, 64),
        "base_model.model.classifier.original_module.out_proj.weight": (2, 64),
    }
    assert new_head_labels({"task_type": "SEQ_CLS"}, roberta) == 5
    assert new_head_labels({"task_type": "SEQ_CLS"}, {"base_model.model.score.weight": (6, 16)}) == 6


def test_a_head_without_a_task_counts_where_it_is_saved_whole() -> None:
    head = {"base_model.model.classifier.weight": (101, 16)}
    assert new_head_labels({"modules_to_save": ["classifier"]}, head) == 101
    assert new_head_labels({}, head) is None
    assert new_head_labels({"task_type": "CAUSAL_LM"}, {"base_model.model.lm_head.weight": (32000, 16)}) is None
