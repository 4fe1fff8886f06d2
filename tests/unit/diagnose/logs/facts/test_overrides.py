"""A class that overrides a method of transformers' Trainer as another release called it."""

from __future__ import annotations

import pytest

from envpin.diagnose.logs.facts.overrides import explain_override

CHANGED, LIBRARY = "transformers-api-changed", "library-api-changed"


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (
            "CustomTrainer.log() takes 2 positional arguments but 3 were given",
            CHANGED,
            "`start_time` came with transformers 4.47",
        ),
        ("MyTrainer.training_step() takes 3 positional arguments but 4 were given", CHANGED, "`num_items_in_batch`"),
        ("GRPOTrainer._get_train_sampler() takes 1 positional argument but 2 were given", LIBRARY, "4.52"),
        (
            "MyTrainer._save_checkpoint() missing 1 required positional argument: 'metrics'",
            CHANGED,
            "went with transformers 4.47",
        ),
        (
            "MyTrainer.get_batch_samples() takes 3 positional arguments but 4 were given",
            CHANGED,
            "`device` came with transformers 4.50",
        ),
    ],
)
def test_the_release_is_named_that_changed_the_call(line: str, code: str, says: str) -> None:
    found = explain_override(f"TypeError: {line}")
    assert found is not None
    assert (found.code, says in found.says) == (code, True), found.says


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("create_optimizer() takes 1 positional argument but 2 were given", "`model` came with transformers 5.3"),
        ("log() takes 2 positional arguments but 3 were given", "`start_time` came with transformers 4.47"),
        ("_save_checkpoint() missing 1 required positional argument: 'metrics'", "`metrics` went with"),
    ],
)
def test_code_that_calls_the_trainers_own_method_is_of_another_release(line: str, says: str) -> None:
    found = explain_override(f"TypeError: Trainer.{line}")
    assert found is not None
    assert (found.code, says in found.says) == (CHANGED, True), found.says
    assert ("transformers>=" in found.fix[0]) == ("came" in says)


@pytest.mark.parametrize(
    "line",
    [
        "MyTrainer.my_step() takes 1 positional argument but 2 were given",
        "MyTrainer.__init__() missing 1 required positional argument: 'model'",
        "MyTrainer.log() missing 1 required positional argument: 'colour'",
        "Widget.log() takes 2 positional arguments but 3 were given",
        "positional argument",
    ],
)
def test_a_call_that_no_release_changed_is_left_alone(line: str) -> None:
    assert explain_override(f"TypeError: {line}") is None
