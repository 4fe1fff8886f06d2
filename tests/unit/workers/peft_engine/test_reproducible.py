"""What the engine `peft` says of a merge that it made."""

from __future__ import annotations

from typing import Any

from envpin.workers.peft_engine.reproducible import made_rows


class WithoutTokens:
    """A model of images: asked for its table of tokens, it refuses, or names its patches."""

    def get_input_embeddings(self) -> Any:
        raise NotImplementedError


def test_a_model_without_a_table_of_tokens_has_no_rows_that_were_made() -> None:
    model: Any = WithoutTokens()
    assert made_rows(model, None, [], []) == {}
