"""`envpin demo`, with the committed lock of Llama 3.1 as users get it: torch from the index."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.command import envpin

if TYPE_CHECKING:
    from pathlib import Path

# The store of the tests, but none of the local wheels: what the committed lock names is what gets installed.
INDEX_ONLY = {"UV_FIND_LINKS": "", "PIP_FIND_LINKS": ""}


@pytest.mark.xdist_group("demo")
def test_the_whole_story(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    completed = envpin("demo", folder, "--json", env=INDEX_ONLY)
    assert completed.status == 0, completed.stderr
    told = json.loads(completed.stdout)
    for said in ("✓ train", "✓ merge by hand and compare", "What was shown:", "envpin record -- python train.py",
                 "envpin env prune --all"):  # fmt: skip
        assert said in completed.stderr
    record = told["merge"]
    packages = record["environment"]["packages"]
    assert (packages["transformers"], packages["peft"], packages["torch"]) == ("4.43.1", "0.12.0", "2.4.0")
    assert record["environment"]["basis"] == "manifest"
    assert record["verdict"]["kind"] == "identical", record["verdict"]["differences"]
    assert "size mismatch for base_model.model.model.embed_tokens" in told["plain_error"]
    assert "[321, 128]" in told["plain_error"]
    assert told["comparison"] == "30 of 30 tensors equal bit for bit"
    assert record["verification"]["probe"]["ratio"] < 0.1
    without_manifest(folder, record["files"])


def without_manifest(folder: Path, files: dict[str, str]) -> None:
    """The same adapter with its manifest deleted still merges, to the same bytes, and says why it may."""
    (folder / "adapter" / "envpin.json").unlink()
    out = folder / "merged-unrecorded"
    completed = envpin("replay", "merge", folder / "adapter", "-o", out, env=INDEX_ONLY)
    assert completed.status == 0, completed.stderr
    assert "no record of the training environment: using the known-good one of llama3.1" in completed.stderr
    record = json.loads((out / "envpin-merge.json").read_text())
    assert (record["verdict"]["kind"], record["verdict"]["base_weights"]) == ("unrecorded", "not recorded")
    assert record["environment"]["basis"] == "family"
    shards = sorted(path.name for path in out.glob("*.safetensors"))
    assert len(shards) == 3, "the base's own sharding is kept"
    for name in shards:
        assert tensors(folder / "merged" / name) == tensors(out / name)
    assert set(record["files"]) == set(files)


def tensors(path: Path) -> bytes:
    """Everything after the header, which carries the digest of the inputs."""
    data = path.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little") :]


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    completed = envpin("demo", tmp_path)
    assert completed.status == 5
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
