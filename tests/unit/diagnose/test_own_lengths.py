"""Shapes of LoKr, SHiRA and RoAd on modules, as peft 0.21.2 made them."""

from __future__ import annotations

from typing import Any

import pytest

from envpin.diagnose.own_lengths import factorization, own_lengths


@pytest.mark.parametrize(
    ("dimension", "factor", "parts"),
    [
        (256, -1, (16, 16)), (128, -1, (8, 16)), (127, -1, (1, 127)), (128, 4, (4, 32)), (48, -1, (6, 8)),
        (96, 5, (4, 24)), (1, -1, (1, 1)), (14336, -1, (112, 128)),
    ],
)  # fmt: skip
def test_a_width_is_split_as_peft_splits_it(dimension: int, factor: int, parts: tuple[int, int]) -> None:
    assert factorization(dimension, factor) == parts


@pytest.mark.parametrize(
    ("kind", "shape", "settings", "wanted"),
    [
        ("lokr_w1", (6, 4), {}, (6, 4)), ("lokr_w2", (1, 1), {}, (8, 8)), ("lokr_w2_a", (9, 4), {}, (8, 4)),
        ("lokr_w2_b", (4, 9), {}, (4, 8)), ("lokr_w1", (1, 1), {"decompose_factor": 4}, (4, 4)),
        ("lokr_w1_a", (1, 2), {"decompose_both": True}, (6, 2)), ("lokr_w1_b", (2, 1), {}, (2, 4)),
        ("lokr_w1", (1, 1), {"decompose_factor": "x"}, None), ("lokr_w2", (1, 1, 3, 3), {}, None),
        ("shira_weight", (1,), {"r": 2}, (160,)), ("shira_weight", (1,), {}, None),
        ("shira_weight", (1,), {"r": 2, "rank_pattern": {"q_proj": 4}}, None),
        ("road_theta", (1,), {"variant": "road_1"}, (24,)), ("road_alpha", (1,), {}, (24,)),
        ("road_theta", (1,), {"variant": "road_2"}, (48,)), ("road_theta", (1,), {"variant": "road_4"}, (96,)),
        ("road_theta", (1,), {"variant": 5}, None),
    ],
)  # fmt: skip
def test_a_tensor_has_the_length_that_widths_and_settings_give(
    kind: str, shape: tuple[int, ...], settings: dict[str, Any], wanted: tuple[int, ...] | None
) -> None:
    assert own_lengths(kind, shape, (48, 32), settings) == wanted
