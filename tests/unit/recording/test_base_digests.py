"""Digests of a base's weights, made when the run is over."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from envpin.manifest.read import read_manifest
from envpin.manifest.types import BaseModel, Manifest, WeightSample
from envpin.manifest.write import write_manifest
from envpin.recording import base_digests
from envpin.recording.base_digests import BaseDigests
from envpin.recording.finish import complete_base
from envpin.recording.injected import hook
from tests.support.checkpoints import llama_shapes, write_model

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def loaded(folder: Path) -> BaseModel:
    """What the hook notes of a base in `folder`."""
    weights = msgspec.convert(hook("artefacts").weight_samples(str(folder), {}), dict[str, WeightSample])
    return BaseModel(path=str(folder), weights=weights)


def test_complete_digests_every_file_that_is_still_what_was_loaded(tmp_path: Path) -> None:
    base = loaded(write_model(tmp_path, llama_shapes(), shards=3))
    digests = BaseDigests()
    files = digests.complete(base).files
    assert files == {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in base.weights}
    assert (len(files), digests.faults) == (3, [])


def test_complete_gives_no_digest_to_a_file_that_changed_since(tmp_path: Path) -> None:
    base = loaded(write_model(tmp_path, llama_shapes(), shards=2))
    changed = tmp_path / "model-00002-of-00002.safetensors"
    data = bytearray(changed.read_bytes())
    data[-1] = 1
    changed.write_bytes(data)
    digests = BaseDigests()
    assert list(digests.complete(base).files) == ["model-00001-of-00002.safetensors"]
    assert digests.faults == [f"`{changed}` is no longer the file that the run loaded: it has no digest"]


def test_complete_keeps_what_the_hub_cache_told_and_tells_of_a_lost_file(tmp_path: Path) -> None:
    base = loaded(write_model(tmp_path, llama_shapes(), shards=2))
    known = msgspec.structs.replace(base, files={"model-00001-of-00002.safetensors": "0" * 64})
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    digests = BaseDigests()
    assert digests.complete(known).files == known.files
    assert len(digests.faults) == 1
    assert "model-00002-of-00002" in digests.faults[0]


def test_complete_reads_a_base_once_for_all_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = loaded(write_model(tmp_path, llama_shapes(), shards=2))
    digests = BaseDigests()
    first = digests.complete(base)
    for name in base.weights:
        (tmp_path / name).unlink()
    assert digests.complete(base) == first
    assert digests.faults == []


def test_complete_tells_what_takes_long_and_ends_on_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = loaded(write_model(tmp_path, llama_shapes(), shards=2))
    monkeypatch.setattr(base_digests, "_TOLD", 1)
    told: list[str] = []

    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(base_digests, "digest_of_file", interrupt)
    digests = BaseDigests(told.append)
    assert digests.complete(base) == base
    assert len(told) == 1
    assert "Ctrl-C" in told[0]
    assert digests.faults == [f"interrupted: the weights of the base in `{tmp_path}` were not all digested"]
    assert digests.complete(base) == base  # nor is the next one begun


def test_complete_base_leaves_a_manifest_that_somebody_wrote_meanwhile(tmp_path: Path) -> None:
    base = loaded(write_model(tmp_path / "base", llama_shapes()))
    path = tmp_path / "envpin.json"
    write_manifest(path, Manifest(schema=1, base=base))

    class Meanwhile(BaseDigests):
        def complete(self, base: BaseModel) -> BaseModel:
            write_manifest(path, Manifest(schema=1, base=BaseModel(id="another")))
            return super().complete(base)

    assert complete_base(path, Meanwhile()) == []
    assert read_manifest(path).base == BaseModel(id="another")
    write_manifest(path, Manifest(schema=1, base=base))
    assert complete_base(path, BaseDigests()) == []
    completed = read_manifest(path).base
    assert completed is not None
    assert list(completed.files) == ["model.safetensors"]
