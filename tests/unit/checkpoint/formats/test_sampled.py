"""The sample of a file of weights, taken here and by the hook."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.checkpoint.formats.sampled import BLOCK, BLOCKS, sample_offsets
from envpin.manifest.types import WeightSample
from envpin.recording.injected import hook
from tests.support.checkpoints import llama_shapes, write_model

if TYPE_CHECKING:
    from pathlib import Path

EDGES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1, BLOCK * BLOCKS, BLOCK * BLOCKS + 1, 5 * 10**9]


@pytest.mark.parametrize("size", EDGES)
def test_sample_offsets_cover_start_and_end_and_small_files_whole(size: int) -> None:
    offsets = sample_offsets(size)
    assert offsets == hook("artefacts").sample_offsets(size)
    assert (offsets[0], len(offsets) <= BLOCKS) == (0, True)
    assert offsets[-1] + BLOCK == size or size <= BLOCK
    if size <= BLOCK * BLOCKS:  # no byte between two blocks is left out
        assert all(second - first <= BLOCK for first, second in pairwise(offsets))


def test_hook_and_controller_take_the_same_samples(tmp_path: Path) -> None:
    write_model(tmp_path, llama_shapes(vocab=5000), shards=3)
    data = bytearray((tmp_path / "model-00001-of-00003.safetensors").read_bytes())
    data[-5] = 7
    (tmp_path / "model-00001-of-00003.safetensors").write_bytes(data)
    taken = hook("artefacts").weight_samples(str(tmp_path), {})
    assert len(taken) == 3
    assert open_checkpoint(tmp_path).samples == {
        name: msgspec.convert(one, WeightSample) for name, one in taken.items()
    }


def test_hook_leaves_out_what_is_known_and_what_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, llama_shapes(), shards=3)
    artefacts = hook("artefacts")
    known = {"model-00001-of-00003.safetensors": "0" * 64}
    assert len(artefacts.weight_samples(str(tmp_path), known)) == 2
    monkeypatch.setattr(artefacts, "SAMPLE_SECONDS", -1.0)
    assert artefacts.weight_samples(str(tmp_path), {}) == {}


@pytest.mark.parametrize("place", [0, 70_000, 120_000, -1])
def test_sample_changes_with_any_byte_of_a_small_file(place: int, tmp_path: Path) -> None:
    write_model(tmp_path, llama_shapes(vocab=100, layers=1))
    before = open_checkpoint(tmp_path).samples["model.safetensors"]
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    at = place if place < 0 else int.from_bytes(data[:8], "little") + 8 + place
    data[at] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    after = open_checkpoint(tmp_path).samples["model.safetensors"]
    assert after.header_sha256 == before.header_sha256
    assert len(data) <= BLOCK * BLOCKS
    assert after.blocks_sha256 != before.blocks_sha256
