"""Record, then replay, for real: real training runs, real environments, results compared bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import envpin as envpin_package
from envpin.core import process
from tests.support.adapters import RECIPES, copy
from tests.support.command import answer, envpin
from tests.support.environments import PINS, pinned

BY_HAND = Path(envpin_package.__file__).parent / "demo" / "scripts" / "by_hand.py"


def replayed(pair: Path, *words: object) -> dict[str, Any]:
    """Merge the adapter of `pair` and return the record."""
    found = answer("replay", "merge", pair / "adapter", "-o", pair / "merged", *words)
    record: dict[str, Any] = found["merge"]
    assert record == json.loads((pair / "merged" / "envpin-merge.json").read_text())
    return record


def equal_by_hand(name: str, pair: Path, rows: int) -> str:
    """What peft's own merge_and_unload() in that environment makes of it, compared with what was written."""
    python = pinned(RECIPES[name].environment).python
    completed = process.run([python, BY_HAND, pair / "base", pair / "adapter", str(rows), pair / "merged"])
    assert completed.status == 0, completed.stdout + completed.stderr
    return completed.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "rows", "tensors"),
    [("plain", 320, 21), ("grown", 321, 21), ("grown-tied", 321, 21), ("qwen2-vl", 320, 58)],
)
def test_a_replay_equals_a_merge_by_hand(name: str, rows: int, tensors: int, tmp_path: Path) -> None:
    pair = copy(name, tmp_path)
    record = replayed(pair)
    assert record["verdict"]["kind"] in {"identical", "explained-drift"}, record["verdict"]
    assert record["verdict"]["base_weights"] == "equal"
    assert record["environment"]["basis"] == "manifest"
    expected = dict(pin.split("==") for pin in PINS[RECIPES[name].environment] if "==" in pin)
    packages = record["environment"]["packages"]
    assert {one: packages[one].partition("+")[0] for one in expected} == expected
    assert record["merge"]["rows"] == rows
    assert record["verification"]["probe"]["ratio"] < 0.1
    assert record["verification"]["untouched"] + record["verification"]["changed"] + len(
        record["verification"]["added"]
    ) == tensors  # fmt: skip
    assert any("tie_word_embeddings" in note for note in record.get("notes", [])) == (name == "grown-tied")
    assert equal_by_hand(name, pair, rows) == f"{tensors} of {tensors} tensors equal bit for bit"


def exchange(base: Path) -> None:
    """Other weights of the same shapes in the middle of the file, far from what a sample reads first."""
    path = base / "model.safetensors"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(4096)
    path.write_bytes(data)


def test_an_exchanged_base_is_refused_from_a_manifest(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    exchange(pair / "base")
    checked = envpin("check", pair / "adapter", "--json")
    assert checked.status == 1
    assert [one["code"] for one in json.loads(checked.stdout)["findings"]] == ["base-weights-differ"]
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "merged")
    assert completed.status == 1, completed.stderr
    assert "base-weights-differ" in completed.stderr
    assert not (pair / "merged").exists()
    record = replayed(pair, "--force")
    assert (record["verdict"]["kind"], record["verdict"]["base_weights"]) == ("mismatch", "differ")
    assert any("--force" in note for note in record["notes"])


def test_an_exchange_that_no_sample_shows_is_refused_by_the_digest(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    path = pair / "adapter" / "envpin.json"
    document = json.loads(path.read_text())
    del document["base"]["weights"]  # as `record --attach` writes it
    path.write_text(json.dumps(document))
    exchange(pair / "base")
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "merged")
    assert completed.status == 1, completed.stderr
    assert "base-weights-differ" in completed.stderr
    assert not (pair / "merged").exists()


def test_a_base_that_was_not_recorded_is_never_identical(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    path = pair / "adapter" / "envpin.json"
    document = json.loads(path.read_text())
    del document["base"]["weights"], document["base"]["files"]
    path.write_text(json.dumps(document))
    exchange(pair / "base")
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "merged")
    assert completed.status == 0, completed.stderr
    assert "base weights: not recorded" in completed.stdout
    verdict = json.loads((pair / "merged" / "envpin-merge.json").read_text())["verdict"]
    assert (verdict["kind"], verdict["base_weights"]) == ("identical-environment", "not recorded")
    strict = envpin("replay", "merge", pair / "adapter", "-o", pair / "strict", "--strict")
    assert (strict.status, (pair / "strict").exists()) == (5, False)
    assert "identical-environment" in strict.stderr


def test_the_output_is_whole(tmp_path: Path) -> None:
    pair = copy("grown", tmp_path)
    record = replayed(pair)
    merged = pair / "merged"
    assert {path.name for path in merged.iterdir()} == {*record["files"], "envpin-merge.json"}
    assert "adapter_config.json" not in record["files"]
    assert (merged / "tokenizer.json").read_bytes() == (pair / "adapter" / "tokenizer.json").read_bytes()
    assert json.loads((merged / "config.json").read_text())["vocab_size"] == 321
    header = (merged / "model.safetensors").read_bytes()
    length = int.from_bytes(header[:8], "little")
    assert json.loads(header[8 : 8 + length])["__metadata__"]["envpin"] == record["inputs_digest"]
    assert not (pair / "adapter" / "envpin-merge.json").exists()
    again = envpin("replay", "merge", pair / "adapter", "-o", merged)
    assert (again.status, json.loads((merged / "envpin-merge.json").read_text())) == (5, record)
    twice = envpin("check", pair / "adapter", "--base", merged, "--json")
    assert twice.status == 1
    assert "adapter-already-merged" in [one["code"] for one in json.loads(twice.stdout)["findings"]]


def test_a_head_trained_over_tied_embeddings_is_not_lost(tmp_path: Path) -> None:
    pair = copy("grown-tied", tmp_path)
    record = replayed(pair)
    assert record["merge"]["untied"] is True
    assert record["verification"]["added"] == ["lm_head.weight"]
    assert json.loads((pair / "merged" / "config.json").read_text())["tie_word_embeddings"] is False


def test_without_its_manifest_the_family_decides_and_says_so(tmp_path: Path) -> None:
    pair = copy("grown", tmp_path)
    (pair / "adapter" / "envpin.json").unlink()
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "merged", "--dry-run")
    assert completed.status == 0, completed.stderr
    assert "no record of the training environment" in completed.stderr
    assert "llama3.1" in completed.stdout
    assert "transformers 4.43.1" in completed.stdout


def test_a_newer_environment_that_drops_the_adapter_is_refused(tmp_path: Path) -> None:
    pair = copy("qwen2-vl", tmp_path)
    completed = envpin(
        "replay", "merge", pair / "adapter", "-o", pair / "merged", "--environment", ",".join(PINS["latest"]),
        "--python", "3.11",
    )  # fmt: skip
    assert completed.status == 1, completed.stderr
    assert "adapter" in completed.stderr
    assert not (pair / "merged").exists()


def test_an_adapter_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    pair = copy("untrained", tmp_path)
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "merged")
    assert completed.status == 1, completed.stderr
    assert "changes nothing" in completed.stderr or "adapter-is-noop" in completed.stderr
    assert not (pair / "merged").exists()
    forced = replayed(pair, "--force")
    assert forced["verification"]["probe"]["moved"] == 0


def test_strict_refuses_drift(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    path = pair / "adapter" / "envpin.json"
    document = json.loads(path.read_text())
    document["python"]["version"] = "3.11.0"
    path.write_text(json.dumps(document))
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "merged", "--strict")
    assert completed.status == 5, completed.stderr
    assert "explained-drift" in completed.stderr
    record = replayed(pair)
    assert [one["class"] for one in record["verdict"]["differences"] if one["what"] == "python"] == ["python-patch"]


def test_an_environment_that_cannot_be_had_again_is_a_mismatch(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    path = pair / "adapter" / "envpin.json"
    document = json.loads(path.read_text())
    for one in document["distributions"]:
        if one["name"] == "peft":
            one["editable"] = True
            one["direct_url"] = "file:///home/someone/peft"
    path.write_text(json.dumps(document))
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "merged")
    assert completed.status == 5, completed.stderr
    assert "mismatch" in completed.stderr
    assert "peft" in completed.stderr
    assert not (pair / "merged").exists()
    assert replayed(pair, "--force")["verdict"]["kind"] == "mismatch"


def test_the_base_is_found_where_the_training_machine_had_another_path(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    config = pair / "adapter" / "adapter_config.json"
    document = json.loads(config.read_text())
    document["base_model_name_or_path"] = "./models/base"
    config.write_text(json.dumps(document))
    path = pair / "adapter" / "envpin.json"
    manifest = json.loads(path.read_text())
    manifest["base"]["path"] = "/nowhere/on/this/machine"
    manifest["base"].pop("id", None)
    path.write_text(json.dumps(manifest))
    shutil.move(pair / "base", pair / "models-base")
    (pair / "models").mkdir()
    shutil.move(pair / "models-base", pair / "models" / "base")
    completed = envpin("replay", "merge", "adapter", "-o", "merged", "--dry-run", cwd=pair)
    assert completed.status == 0, completed.stderr
    assert str(pair / "models" / "base") in completed.stdout
