"""Recorded adapters of real runs against bases that are no longer what they were trained on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from envpin.diagnose.check import check
from tests.support.adapters import copy

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("real-pairs")


def found(pair: Path, **target: str) -> dict[str, str]:
    report = check(pair / "adapter", base=pair / "base", target=target)
    return {one.code: one.severity for one in report.findings}


def test_vision_language_names_across_4_52(tmp_path: Path) -> None:
    """That peft then drops the adapter is shown in tests/e2e/test_replay_merge.py."""
    pair = copy("qwen2-vl", tmp_path)
    assert found(pair, transformers="5.23.0", peft="0.21.2") == {"vlm-key-rename": "blocker"}
    assert found(pair, transformers="4.51.3", peft="0.15.2") == {}
    assert found(pair) == {"vlm-key-rename": "warning"}


def test_a_base_whose_config_or_rows_changed(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    assert found(pair) == {}
    path = pair / "base" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"rope_theta": 1_000_000.0}))
    assert found(pair) == {"base-changed-since-training": "warning"}
    path.write_text(json.dumps(config | {"model_type": "mistral"}))
    assert found(pair)["base-changed-since-training"] == "blocker"
