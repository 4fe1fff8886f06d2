"""What a base may lack because its adapter brings it."""

from __future__ import annotations

from typing import Any

import pytest

from envpin.workers.runtime.loading import _names_of_new, _starts_anew


@pytest.mark.parametrize(
    ("key", "saved", "anew"),
    [
        ("classifier.weight", None, True),
        ("pre_classifier.weight", ["pre_classifier", "classifier"], True),
        ("pre_classifier.weight", ["classifier"], False),
        ("model.score_norm.weight", ["score"], False),
        ("model.layers.0.mlp.down_proj.weight", ["lm_head"], False),
    ],
)
def test_a_module_that_the_adapter_brings_whole_may_be_missing(key: str, saved: list[str] | None, anew: bool) -> None:
    wanted: Any = type("SomeModel", (), {})
    assert _starts_anew(key, wanted, None, _names_of_new(saved)) is anew
