"""Several adapters in one request, and the tokens that only an adapter's own inputs show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from envpin.workers.requests import FurtherAdapter
from envpin.workers.runtime.several import trained_tokens

if TYPE_CHECKING:
    from pathlib import Path


class _Request(NamedTuple):
    adapter: str
    weight: float = 1.0
    further: tuple[FurtherAdapter, ...] = ()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"peft_type": "LORA", "r": 8}, []),
        ({"peft_type": "LORA", "trainable_token_indices": None}, []),
        ({"peft_type": "LORA", "trainable_token_indices": [7, 99, 3]}, [7, 99, 3]),
        ({"peft_type": "LORA", "trainable_token_indices": {"embed_tokens": [7], "lm_head": [7, 9]}}, [7, 9]),
        ({"peft_type": "TRAINABLE_TOKENS", "token_indices": [100, 99, -1, "7"]}, [99]),
        ({"peft_type": "TRAINABLE_TOKENS", "token_indices": list(range(40))}, list(range(8))),
    ],
)
def test_tokens_with_rows_of_their_own_are_asked(
    tmp_path: Path, config: dict[str, object], expected: list[int]
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    assert trained_tokens(_Request(str(tmp_path)), 100) == expected
    assert trained_tokens(_Request(str(tmp_path)), None) == []


def test_those_of_each_adapter_are_asked(tmp_path: Path) -> None:
    for name, tokens in (("one", [5, 6]), ("two", [6, 7])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text(json.dumps({"token_indices": tokens}))
    request = _Request(str(tmp_path / "one"), further=(FurtherAdapter(adapter=str(tmp_path / "two"), weight=0.5),))
    assert trained_tokens(request, 100) == [5, 6, 7]
