"""What a plan refuses before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core.errors import CheckFailedError
from envpin.envs.store.store import Store
from envpin.replay.adapters import WeightedAdapter
from envpin.replay.options import MergeOptions
from envpin.replay.plan import make_plan
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path


def test_two_adapters_of_one_name_and_two_bases_are_told_by_their_folders(tmp_path: Path) -> None:
    shapes = llama_shapes()
    given = []
    for run in ("one", "two"):
        base = write_model(tmp_path / run / "base", shapes)
        given.append(write_adapter(tmp_path / run / "adapter", lora_shapes(shapes), base=str(base)))
    first, other = (open_checkpoint(one) for one in given)
    options = MergeOptions(further=(WeightedAdapter(path=given[1]).at(other),))
    with pytest.raises(CheckFailedError) as refused:
        make_plan(first, out=tmp_path / "out", store=Store(tmp_path / "store"), options=options)
    assert all(f"`{one}`" in refused.value.message for one in given)
