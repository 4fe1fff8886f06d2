"""What the spelling of a rope_scaling, and other fields, ask of transformers: run on tiny models release by release."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from envpin.core.resources import data_path
from envpin.matrix.load import load_matrix
from envpin.matrix.match import Match, match
from envpin.matrix.parts import yarn_floor
from envpin.matrix.support import load_support, shipped_path

MATRIX, SUPPORT = load_matrix(data_path("compat_matrix.toml")), load_support(shipped_path())
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}


def _asked(config: dict[str, Any]) -> tuple[Match, SpecifierSet]:
    found = match(config, None, MATRIX, SUPPORT)
    return found, SpecifierSet(",".join(one.versions for one in found.needs if one.package == "transformers"))


@pytest.mark.parametrize(
    ("config", "fails", "loads"),
    [
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, ("4.43.0", "4.43.1"), ("4.42.4", "4.43.2")),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, ("4.43.0", "4.43.1"), ("4.42.4", "4.43.2")),
        ({"rope_scaling": {"rope_type": "linear", "factor": 4.0}}, ("4.42.4", "4.43.0"), ("4.43.1",)),
        ({"rope_scaling": LLAMA3, "vocab_size": 128256}, ("4.42.4", "4.43.0"), ("4.43.1",)),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, ("4.42.4", "4.43.0", "4.43.1"), ("4.43.2",)),
        ({"model_type": "phi"}, ("4.36.2", "5.0.0"), ("4.37.0",)),
        ({"model_type": "falcon", "alibi": True}, ("4.39.3",), ("4.40.0",)),
        ({"model_type": "bert", "position_embedding_type": "relative_key"}, ("5.0.0", "5.24.0"), ("4.57.6",)),
        ({"model_type": "phi3", "rope_scaling": {"type": "su"}}, ("5.0.0", "5.24.0"), ("4.57.6",)),
        ({"model_type": "deepseek_v3", "q_lora_rank": None}, ("4.51.3", "4.52.4"), ("4.53.0",)),
        ({"model_type": "nemotron_h"}, ("5.3.0", "5.5.4"), ("5.6.0",)),
        ({"model_type": "olmo2"}, ("5.4.0",), ("5.3.0", "5.5.0")),
        ({"model_type": "cohere2"}, ("5.4.0",), ("5.3.0", "5.5.0")),
        ({"model_type": "phimoe"}, ("5.0.0", "5.4.0"), ("5.3.0", "5.5.0")),
        ({"model_type": "gpt_bigcode"}, ("4.54.0", "4.54.1", "4.55.0"), ("4.53.3", "4.55.1")),
    ],
)
def test_a_field_keeps_out_the_releases_that_fail_on_it(
    config: dict[str, Any], fails: tuple[str, ...], loads: tuple[str, ...]
) -> None:
    found, asked = _asked({"model_type": "llama", **config})
    assert [one for one in fails if asked.contains(one)] == []
    assert [one for one in loads if not asked.contains(one)] == []
    assert asked.contains(found.pins["transformers"])


def test_the_pins_beside_a_hole_are_after_the_proved_ones() -> None:
    found, _ = _asked({"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 4.0}})
    assert found.pins["transformers"] == "4.43.4"


@pytest.mark.parametrize(
    ("longest", "release"),
    [(131072, "4.51.0"), (40960, "4.56.0"), (32768, "4.56.0")],
)  # fmt: skip
def test_a_yarn_asks_for_the_release_that_computes_it_as_written(longest: int, release: str) -> None:
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    config = {"model_type": "qwen2", "max_position_embeddings": longest, "rope_scaling": scaling}
    floor = yarn_floor(config)
    assert floor is not None
    assert floor.release == release
    assert not _asked(config)[1].contains("4.50.3")
    assert yarn_floor({"model_type": "x", "text_config": config}) == floor
    assert yarn_floor({**config, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}) is None
    assert yarn_floor({**config, "rope_scaling": {**scaling, "factor": "4"}}) is None
