"""What is known of a probe's model before anything is installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from envpin.bisect.session.start import _model_facts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("family", "facts"),
    [("llama3.1", ("llama", "llama3")), ("qwen2-vl", ("qwen2_vl", "mrope")), ("qwen3-moe", ("qwen3_moe", None))],
)
def test_a_family_tells_the_model_type_and_the_rope_type(family: str, facts: tuple[str, str | None]) -> None:
    assert _model_facts(family, None) == facts


def test_the_users_own_base_wins_and_a_bad_one_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "phi3", "rope_scaling": {"type": "longrope"}}))
    assert _model_facts("qwen2-vl", str(tmp_path)) == ("phi3", "longrope")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "../../etc"}))
    assert _model_facts(None, str(tmp_path)) == (None, None)
    (tmp_path / "config.json").write_text("{")
    assert _model_facts(None, str(tmp_path)) == (None, None)
