"""The scale of a module, as each release of peft looks it up. The rows were computed by these releases' own layers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from envpin.workers.runtime.scaling import scale_of

MODULE = "model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"lora_alpha": 8}, 2.0),
        ({"lora_alpha": 8, "use_rslora": True}, 8 / math.sqrt(4)),
        ({"lora_alpha": 8, "alpha_pattern": {"q_proj": 6}}, 1.5),
        ({"lora_alpha": 8, "alpha_pattern": {"self_attn.q_proj": 6}}, 1.5),
        ({"lora_alpha": 8, "alpha_pattern": {"proj": 6}}, 2.0),
        ({"lora_alpha": 8, "alpha_pattern": {r"^model\.layers\.0\..*": 6}}, 1.5),
        ({"lora_alpha": 8, "alpha_pattern": {r"^model\.layers\.0": 6}}, 2.0),
        ({"lora_alpha": 8, "alpha_pattern": {"((": 6}}, 2.0),
        ({"lora_alpha": 8, "alpha_pattern": ["q_proj"]}, 2.0),
    ],
)
def test_scale_follows_the_newest_rules(config: dict[str, Any], scale: float) -> None:
    assert scale_of(config, MODULE, 4) == pytest.approx(scale)


@pytest.mark.parametrize(
    ("config", "module", "scales"),
    [  # alpha by 0.13, 0.14 and 0.15
        ({"alpha_pattern": {"v_proj|q_proj": 6}}, MODULE, (8, 8, 6)),
        ({"alpha_pattern": {"q_proj|v_proj": 6}}, MODULE, (6, 6, 6)),
        ({"alpha_pattern": {r"^model\..*q_proj": 6}}, MODULE, (8, 8, 6)),
        ({"alpha_pattern": {"lm_head": 6}}, "lm_head", (6, 6, 6)),
        ({"alpha_pattern": {"self_attn.q_proj": 6}, "rank_pattern": {"q_proj": 4}}, MODULE, (8, 6, 6)),
        ({"alpha_pattern": {"q_proj": 6}, "rank_pattern": {"q_proj": 4}}, MODULE, (6, 6, 6)),
    ],
)
def test_alpha_is_looked_up_as_the_release_does(
    config: dict[str, Any], module: str, scales: tuple[int, int, int]
) -> None:
    releases = ((0, 13), (0, 14), (0, 15))
    assert tuple(4 * scale_of({"lora_alpha": 8, **config}, module, 4, one) for one in releases) == scales
