"""Names that peft's wrappers leave in a merged model."""

from __future__ import annotations

import pytest

from envpin.workers.prove.wrapped import find, is_of_adapter, judged, own_names
from envpin.workers.results import JudgedTensor


def test_a_trained_copy_is_the_module_itself() -> None:
    names = ["classifier.modules_to_save.default.weight", "classifier.original_module.weight", "bert.norm.weight"]
    found = find(names)
    assert found.stored == {"classifier.weight": names[0]}
    assert found.copies == (names[1],)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("layers.0.q_proj.base_layer.weight", "layers.0.q_proj.weight"),
        ("norm.ln_tuning_layers.default.bias", "norm.bias"),
        ("score.original_module.weight", "score.weight"),
    ],
)
def test_what_is_wrapped_alone_stands_for_the_module(name: str, plain: str) -> None:
    assert find([name]).stored == {plain: name}
    assert find([name, plain]).stored == {}


@pytest.mark.parametrize("state", ["equal", "rounding"])
def test_right_values_under_a_name_that_is_not_loaded_are_said_to_be_right(state: str) -> None:
    found = judged(JudgedTensor("score.weight", state, True), "score.modules_to_save.default.weight")
    assert (found.state, found.cause) == ("wrong", "peft-names")
    assert "values are right" in str(found.why)


def test_wrong_values_keep_their_cause() -> None:
    found = judged(JudgedTensor("q.weight", "wrong", True, cause="not-applied", why="it is the base's"), "q.base_layer")
    assert (found.state, found.cause) == ("wrong", "not-applied")
    assert str(found.why).endswith("it is the base's")
    assert judged(found, None) is found


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("q.lora_A.default.weight", True),
        ("q.lora_A.weight", True),
        ("q.lora_A.second.third.weight", False),
        ("k.lora_A.default.weight", False),
        ("q.weight", False),
    ],
)
def test_the_adapters_own_tensors_are_known_with_and_without_its_name(name: str, own: bool) -> None:
    assert is_of_adapter(name, own_names(["base_model.model.q.lora_A.weight"])) is own
