"""Adapters that real trainers left (tests/support/wild/make.py): the truth is inferred, with their card and without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from envpin.inference.infer import judge
from envpin.inference.observe import observe
from envpin.inference.versions import known_releases
from envpin.matrix.load import load_matrix
from envpin.matrix.support import load_support
from tests.support.places import DATA

if TYPE_CHECKING:
    from pathlib import Path

WILD = DATA / "wild"
KNOWN, SUPPORT, MATRIX = known_releases(), load_support(), load_matrix()
# peft and transformers of the environment that each was run in, and the trainer.
TRUTH = {
    "autotrain": ("0.14.0", "4.48.0", "autotrain"),
    "autotrain-chat": ("0.14.0", "4.48.0", "autotrain"),
    "hf-trainer": ("0.12.0", "4.43.1", "transformers"),
    "llamafactory-0.9.3": ("0.15.2", "4.52.4", "llamafactory"),
    "llamafactory-0.9.5": ("0.18.1", "5.6.0", "llamafactory"),
    "ms-swift": ("0.20.0", "5.19.0", "ms-swift"),
    "trl-0.12.2": ("0.13.2", "4.46.3", "trl"),
    "trl-1.16.0": ("0.21.2", "5.24.0", "trl"),
    "unsloth": ("0.21.2", "5.17.0", None),
}


def folder(name: str) -> Path:
    configs = sorted((WILD / name).rglob("adapter_config.json"), key=lambda path: len(path.parts))
    return configs[0].parent


@pytest.mark.parametrize("card", [True, False], ids=["as left", "card gone"])
@pytest.mark.parametrize("name", TRUTH)
def test_the_truth_is_contained(name: str, card: bool) -> None:
    observed = observe(folder(name))
    if not card:
        observed = replace(observed, cards=(), traces=replace(observed.traces, card=None))
    found = judge(observed, KNOWN, SUPPORT, MATRIX)
    peft, transformers, trainer = TRUTH[name]
    assert peft in found.ranges["peft"].versions
    assert transformers in found.ranges["transformers"].versions
    assert not found.contradictions
    assert found.tells("transformers")
    if trainer is not None:
        assert found.trainer is not None
        assert found.trainer.trainer == trainer or not card


def test_autotrain_is_placed_within_one_release_of_peft_without_card_and_manifest() -> None:
    """AutoTrain overwrites the card; its parameters say which of its releases ran, and those pin what they run on."""
    found = judge(replace(observe(WILD / "autotrain"), cards=()), KNOWN, SUPPORT, MATRIX)
    assert found.ranges["peft"].versions == ("0.14.0",)
    assert set(found.ranges["transformers"].versions) == {"4.47.1", "4.48.0"}
    assert any(one.file == "training_params.json" for one in found.signals)


def test_a_transformers_that_asks_for_a_peft_nobody_released_is_still_what_trained_it() -> None:
    """transformers 5.24.0 asks for peft 0.22.0; the run had 0.21.2, the newest there was."""
    found = judge(observe(folder("trl-1.16.0")), KNOWN, SUPPORT, MATRIX)
    assert found.candidates[0].pins == {"transformers": "5.24.0", "peft": "0.21.2", "torch": "2.13.0"}
