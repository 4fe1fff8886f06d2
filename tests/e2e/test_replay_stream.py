"""`replay merge` with the streaming engine, and `envpin verify` of what it made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.adapters import copy
from tests.support.command import answer, arguments, envpin, variables

if TYPE_CHECKING:
    from pathlib import Path


def merged(pair: Path, out: Path, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = answer("replay", "merge", pair / "adapter", "-o", out, *words)["merge"]
    return found


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


@pytest.mark.xdist_group("replay-stream")
def test_auto_streams_and_both_engines_write_the_same_tensors(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    streamed = merged(pair, pair / "streamed")
    assert streamed["engine"] == "stream"
    assert streamed["verification"]["recomputed"]["worst"] <= 1.0
    in_memory = merged(pair, pair / "in-memory", "--engine", "peft")
    assert in_memory["engine"] == "peft"
    assert data_of(pair / "streamed") == data_of(pair / "in-memory")


def data_of(folder: Path) -> dict[str, bytes]:
    """Every tensor's bytes, by name."""
    found = {}
    for content in shards(folder).values():
        length = int.from_bytes(content[:8], "little")
        for name, entry in json.loads(content[8 : 8 + length]).items():
            if name != "__metadata__":
                first, last = entry["data_offsets"]
                found[name] = content[8 + length + first : 8 + length + last]
    return found


@pytest.mark.xdist_group("replay-stream")
def test_a_killed_merge_goes_on_with_resume_and_verify_names_a_changed_byte(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    out = pair / "out"
    size = ("--max-shard-size", "20KB")
    whole = merged(pair, pair / "whole", *size)
    command = arguments("replay", "merge", pair / "adapter", "-o", out, *size)
    child = subprocess.Popen(command, env=variables(), stderr=subprocess.DEVNULL, start_new_session=True)
    for _ in range(1200):
        if any(len(list(folder.glob("*.safetensors"))) >= 3 for folder in pair.glob(".out.envpin-staging-*")):
            break
        assert child.poll() is None, "the merge ended before it could be killed"
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not out.exists()
    completed = envpin("replay", "merge", pair / "adapter", "-o", out, *size, "--resume", "--json")
    assert completed.status == 0, completed.stderr
    again = json.loads(completed.stdout)["merge"]
    assert again["merge"]["resumed"]
    assert {name: one for name, one in again["files"].items() if name.endswith(".safetensors")} == {
        name: one for name, one in whole["files"].items() if name.endswith(".safetensors")
    }
    assert shards(out) == shards(pair / "whole")
    assert not list(pair.glob(".out.envpin-staging-*"))

    assert envpin("verify", out).status == 0
    tensor, (name, _, offset, length) = sorted(again["merge"]["tensors"].items())[5]
    with (out / name).open("r+b") as stream:
        stream.seek(offset + length // 2)
        byte = stream.read(1)
        stream.seek(offset + length // 2)
        stream.write(bytes([byte[0] ^ 1]))
    completed = envpin("verify", out)
    assert completed.status == 1
    assert name in completed.stdout
    assert tensor in completed.stdout


@pytest.mark.xdist_group("replay-stream")
def test_two_adapters_are_one_merge_after_the_other_and_both_weights_are_recorded(tmp_path: Path) -> None:
    """The second one grew the vocabulary; recipes of one model class have the same base."""
    pair, other = copy("plain", tmp_path), copy("grown", tmp_path)
    both = ("replay", "merge", pair / "adapter", "--add-adapter", f"{other / 'adapter'}:0.5", "--base", pair / "base")
    planned = envpin(*both, "-o", tmp_path / "both", "--dry-run")
    assert planned.status == 0, planned.stderr
    for words in (f"adapter      {pair / 'adapter'}, weight 1", f"add-adapter  {other / 'adapter'}, weight 0.5",
                  "from 320 to 321 rows"):  # fmt: skip
        assert words in planned.stdout
    record = answer(*both, "-o", tmp_path / "both")["merge"]
    assert record["engine"] == "stream"
    assert record["adapter"]["files"] == merged(pair, tmp_path / "one")["adapter"]["files"]
    (further,) = record["further"]
    assert further["weight"] == 0.5
    assert further["files"].keys() == {"adapter_config.json", "adapter_model.safetensors"}
    assert record["verification"]["probe"]["ratio"] < 0.05
    assert any("taken as saved" in note for note in record["notes"])
    assert envpin("verify", tmp_path / "both").status == 0

    chained = ("replay", "merge", f"{other / 'adapter'}:0.5", "--base", tmp_path / "one", "-o", tmp_path / "chained")
    answer(*chained, "--force")  # its base, with the first merged into it, has other weights than training's
    assert data_of(tmp_path / "both") == data_of(tmp_path / "chained")
    in_memory = answer(*both, "-o", tmp_path / "memory", "--engine", "peft")["merge"]
    assert data_of(tmp_path / "memory") == data_of(tmp_path / "both")
    assert in_memory["inputs_digest"] != record["inputs_digest"]
    assert (tmp_path / "both" / "tokenizer.json").read_bytes() == (other / "adapter" / "tokenizer.json").read_bytes()


@pytest.mark.xdist_group("replay-stream")
def test_adapters_of_different_environments_or_bases_are_explained(tmp_path: Path) -> None:
    pair, other = copy("plain", tmp_path), copy("grown", tmp_path)
    words = ("replay", "merge", pair / "adapter", "--add-adapter", other / "adapter", "-o", tmp_path / "out")
    refused = envpin(*words)
    assert refused.status == 1, refused.stderr
    assert "was trained on" in refused.stderr
    assert "--base" in refused.stderr
    manifest = other / "adapter" / "envpin.json"
    manifest.write_text(manifest.read_text().replace('"0.12.0"', '"0.11.1"'))
    refused = envpin(*words, "--base", pair / "base")
    assert refused.status == 5, refused.stderr
    assert "peft was 0.12.0 for `adapter` and 0.11.1" in refused.stderr
    assert "--environment" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_gpu_is_one_clear_error(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    for engine in ("stream", "peft"):
        completed = envpin(
            "replay", "merge", pair / "adapter", "-o", pair / "out", "--device", "cuda", "--engine", engine
        )
        assert completed.status == 4, completed.stderr
        assert "cannot compute on cuda" in completed.stderr
        assert not (pair / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-shard-size", "big"), "is not a size"),
        (("--engine", "peft", "--dtype", "fp32"), "works with the engine `stream` only"),
        (("--threads", "0"), "at least 1"),
    ],
)
def test_options_that_make_no_sense(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "out", *words)
    assert completed.status == 2, completed.stderr
    assert message in completed.stderr
    assert not (pair / "out").exists()
