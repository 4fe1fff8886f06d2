"""What the output's config says of a merge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from envpin.replay.engines import write_config

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("own", [{}, {"tie_word_embeddings": True}])
@pytest.mark.parametrize("text", [{}, {"tie_word_embeddings": True}])
def test_an_untied_head_is_written_wherever_a_release_may_ask(
    own: dict[str, object], text: dict[str, object], tmp_path: Path
) -> None:
    """transformers 4.43 asks `text_config` of PaliGemma, whose default is tied; later releases ask the whole."""
    (tmp_path / "base").mkdir()
    (tmp_path / "out").mkdir()
    config = {"model_type": "paligemma", "text_config": {"model_type": "gemma", **text}, **own}
    (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    write_config(tmp_path / "base", tmp_path / "out", {"tie_word_embeddings": False})
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["tie_word_embeddings"] is False
    assert written["text_config"]["tie_word_embeddings"] is False


def test_other_updates_go_where_the_config_has_them(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"vocab_size": 8}, "quantization_config": {}}))
    write_config(tmp_path, tmp_path / "out", {"vocab_size": 9, "quantization_config": None})
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"text_config": {"vocab_size": 9}}
