"""The recorded base against the one that was found: local, in a Hub cache, quantized."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from envpin.checkpoint.base_weights import compare_base, compare_bases
from envpin.checkpoint.bases import find_base
from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.diagnose.check import check
from envpin.manifest.types import BaseModel, Manifest
from envpin.manifest.write import write_manifest
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from envpin.checkpoint.bases import FoundBase

COMMIT = "c" * 40


def local(root: Path) -> FoundBase:
    write_model(root / "base", llama_shapes())
    return find_base(open_checkpoint(write_adapter(root / "adapter", lora_shapes(llama_shapes()))))


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def cached(root: Path, monkeypatch: pytest.MonkeyPatch) -> FoundBase:
    """A base in a Hub cache, whose large file is a link to a blob that is named by its sha256."""
    monkeypatch.setenv("HF_HUB_CACHE", str(root / "hub"))
    storage = root / "hub" / "models--org--tiny"
    snapshot = write_model(storage / "snapshots" / COMMIT, llama_shapes())
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(COMMIT)
    (storage / "blobs").mkdir()
    file = snapshot / "model.safetensors"
    blob = storage / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
    file.rename(blob)
    file.symlink_to(f"../../blobs/{blob.name}")
    return find_base(open_checkpoint(write_adapter(root / "adapter", lora_shapes(llama_shapes()), base="org/tiny")))


def test_local_base_is_known_by_its_sample_first_and_by_its_digest_then(tmp_path: Path) -> None:
    found = local(tmp_path)
    digest = hashlib.sha256((tmp_path / "base" / "model.safetensors").read_bytes()).hexdigest()
    recorded = BaseModel(weights=dict(found.checkpoint.samples), files={"model.safetensors": digest})
    assert compare_base(recorded, found).state == "sampled"
    assert compare_base(recorded, found, {"model.safetensors": digest}).state == "equal"
    assert compare_base(recorded, found, {"model.safetensors": "0" * 64}).state == "differ"
    assert compare_base(None, found).state == "not recorded"
    assert compare_bases([recorded, None], found, {"model.safetensors": digest}).state == "not recorded"


def test_cached_base_is_known_by_its_blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = cached(tmp_path, monkeypatch)
    (digest,) = found.checkpoint.published_digests().values()
    assert compare_base(BaseModel(commit=COMMIT, files={"model.safetensors": digest}), found).state == "equal"
    assert compare_base(BaseModel(commit=COMMIT, files={"model.safetensors": "0" * 64}), found).state == "differ"


def test_commit_stands_for_the_weights_in_a_hub_cache_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = cached(tmp_path, monkeypatch)
    assert compare_base(BaseModel(commit=COMMIT), found).state == "equal"
    assert compare_base(BaseModel(commit="d" * 40), found).state == "not recorded"
    blob = (found.path / "model.safetensors").resolve()
    (found.path / "model.safetensors").unlink()
    (found.path / "model.safetensors").write_bytes(blob.read_bytes())  # nobody knows any more what this file is
    again = find_base(open_checkpoint(tmp_path / "adapter"))
    assert compare_base(BaseModel(commit=COMMIT), again).state == "not recorded"


def test_quantized_files_are_not_compared_with_their_original(tmp_path: Path) -> None:
    found = local(tmp_path)
    recorded = BaseModel(files={"model.safetensors": "0" * 64}, stored_quantized=True)
    compared = compare_base(recorded, found, {"model.safetensors": "1" * 64})
    assert (compared.state, compared.reason) == (
        "not compared",
        "training loaded quantized weights, and these are not",
    )


def test_check_refuses_a_base_with_the_same_config_and_other_weights(tmp_path: Path) -> None:
    found = local(tmp_path)
    manifest = Manifest(schema=1, base=BaseModel(weights=dict(found.checkpoint.samples)))
    write_manifest(tmp_path / "adapter" / "envpin.json", manifest)
    assert "base-weights-differ" not in {one.code for one in check(tmp_path / "adapter").findings}
    flip(tmp_path / "base" / "model.safetensors")
    (blocker,) = [one for one in check(tmp_path / "adapter").blockers if one.code == "base-weights-differ"]
    assert [one.file for one in blocker.evidence] == ["model.safetensors"]
