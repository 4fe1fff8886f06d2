"""Which files a worker takes for the weights of a folder: those that transformers loads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from envpin.workers.protocol import KnownError
from envpin.workers.runtime.loading import tensor_files
from envpin.workers.stream.io.files import weight_files

if TYPE_CHECKING:
    from pathlib import Path

SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
MODEL, INDEX = "model.safetensors", "model.safetensors.index.json"
# Mistral's own format lies next to that of transformers, and before it in the alphabet.
OTHER, OTHER_INDEX = "consolidated.safetensors", "consolidated.safetensors.index.json"


@pytest.mark.parametrize(
    ("held", "index", "files"),
    [
        ([MODEL], None, [MODEL]),
        ([*SHARDS, INDEX], INDEX, SHARDS),
        ([MODEL, *SHARDS, INDEX], None, [MODEL]),
        ([OTHER, OTHER_INDEX, *SHARDS, INDEX], INDEX, SHARDS),
        ([OTHER, OTHER_INDEX, MODEL], None, [MODEL]),
        ([OTHER, OTHER_INDEX], OTHER_INDEX, [OTHER]),
        (["adapter_model.safetensors"], None, ["adapter_model.safetensors"]),
    ],
)
def test_weight_files_are_those_that_transformers_loads(
    held: list[str], index: str | None, files: list[str], tmp_path: Path
) -> None:
    for name in held:
        of_index = SHARDS if name == INDEX else [OTHER]
        text = json.dumps({"weight_map": {f"tensor.{one}": one for one in of_index}})
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert weight_files(str(tmp_path)) == (index, files)
    assert tensor_files(str(tmp_path)) == [str(tmp_path / name) for name in files]


def test_files_of_other_names_are_read_and_not_streamed(tmp_path: Path) -> None:
    for name in ("b.safetensors", "a.safetensors", "c.bin"):
        (tmp_path / name).touch()
    with pytest.raises(KnownError, match="no safetensors weights"):
        weight_files(str(tmp_path))
    assert tensor_files(str(tmp_path)) == [str(tmp_path / f"{name}.safetensors") for name in "ab"]
