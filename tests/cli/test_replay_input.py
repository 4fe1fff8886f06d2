"""`replay merge` and `replay train` on bad input: one clear error, the exit code of the design, nothing left behind."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.support.adapters import copy
from tests.support.command import envpin
from tests.support.environments import PINS
from tests.support.wild.make import KEPT

PINNED = ",".join(PINS["peft012"])


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return copy("grown", tmp_path)


def merge(pair: Path, *words: object) -> tuple[int, str]:
    out = pair / "merged"
    completed = envpin("replay", "merge", pair / "adapter", "-o", out, *words)
    assert not out.exists() or "exists" in completed.stderr
    assert completed.stderr.count("error: ") == 1, completed.stderr
    assert "Traceback" not in completed.stderr
    assert not list(pair.glob(".merged.envpin-staging-*"))
    return completed.status, completed.stderr


def test_a_missing_adapter(tmp_path: Path) -> None:
    completed = envpin("replay", "merge", tmp_path / "nowhere", "-o", tmp_path / "out")
    assert completed.status == 2
    assert "nowhere" in completed.stderr


def test_a_folder_that_holds_no_adapter(pair: Path) -> None:
    completed = envpin("replay", "merge", pair / "base", "-o", pair / "merged")
    assert completed.status == 2
    assert "no adapter" in completed.stderr


def test_a_folder_whose_adapter_autotrain_merged(tmp_path: Path) -> None:
    shutil.copytree(KEPT / "autotrain-merged", tmp_path / "adapter")
    status, error = merge(tmp_path)
    assert status == 2
    assert "AutoTrain merged it" in error


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    status, _ = merge(tmp_path)
    assert status == 2


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "adapter").write_text("x")
    status, _ = merge(tmp_path)
    assert status == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"', "{}", '{"schema": 99}', '{"schema": "one"}', "\x00\xff"])
def test_a_manifest_that_is_none(pair: Path, text: str) -> None:
    (pair / "adapter" / "envpin.json").write_text(text)
    status, error = merge(pair)
    assert status == 2, error
    assert "envpin.json" in error


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_an_adapter_config_that_is_none(pair: Path, text: str) -> None:
    (pair / "adapter" / "adapter_config.json").write_text(text)
    status, error = merge(pair)
    assert status in {1, 2}, error
    assert "adapter_config.json" in error


def test_a_truncated_adapter(pair: Path) -> None:
    path = pair / "adapter" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    status, error = merge(pair)
    assert status == 1, error
    assert "truncated-file" in error


def test_a_base_that_cannot_be_found(pair: Path) -> None:
    (pair / "base").rename(pair / "elsewhere")
    status, error = merge(pair)
    assert status == 2, error
    assert "--base" in error


def test_a_base_given_by_hand_is_used(pair: Path) -> None:
    (pair / "base").rename(pair / "elsewhere")
    completed = envpin(
        "replay", "merge", pair / "adapter", "-o", pair / "merged", "--base", pair / "elsewhere", "--dry-run"
    )
    assert completed.status == 0, completed.stderr
    assert str(pair / "elsewhere") in completed.stdout


def test_an_existing_output_is_left_alone(pair: Path) -> None:
    out = pair / "merged"
    out.mkdir()
    (out / "precious").write_text("x")
    status, error = merge(pair)
    assert status == 5, error
    assert [path.name for path in out.iterdir()] == ["precious"]


def test_an_output_in_a_folder_that_does_not_exist(pair: Path) -> None:
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "no" / "merged")
    assert completed.status == 2
    assert "not a folder" in completed.stderr


def test_an_unwritable_output(pair: Path) -> None:
    locked = pair / "locked"
    locked.mkdir(mode=0o555)
    if os.geteuid() == 0:
        locked = Path("/proc")  # root may write anywhere but there
    completed = envpin("replay", "merge", pair / "adapter", "-o", locked / "merged")
    assert completed.status == 2
    assert re.search("cannot be written|no folder can be made", completed.stderr)


def test_a_recorded_environment_that_is_not_on_any_index(pair: Path) -> None:
    path = pair / "adapter" / "envpin.json"
    path.write_text(path.read_text().replace('"4.43.1"', '"4.43.999"'))
    status, error = merge(pair)
    assert status == 3, error


def test_usage(pair: Path) -> None:
    for words in (["replay"], ["replay", "merge"], ["replay", "merge", pair], ["replay", "frob"]):
        completed = envpin(*words)
        assert completed.status == 2, words
        assert "error:" in completed.stderr


def test_a_dry_run_writes_nothing_and_shows_the_plan(pair: Path) -> None:
    before = sorted(str(path) for path in pair.rglob("*"))
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "merged", "--dry-run")
    assert completed.status == 0, completed.stderr
    for word in ("transformers 4.43.1", "peft 0.12.0", "from 320 to 321 rows", "as recorded in envpin.json"):
        assert word in completed.stdout
    assert sorted(str(path) for path in pair.rglob("*")) == before


@pytest.mark.parametrize(("given", "said"), [("nowhere", "does not exist"), ("empty", "is empty"), ("dir", "is empty")])
def test_a_run_that_is_not_there_is_not_that_of_the_folder_around(tmp_path: Path, given: str, said: str) -> None:
    (tmp_path / "envpin.json").write_text('{"schema": 2, "distributions": [{"name": "torch", "version": "2.13.0"}]}')
    (tmp_path / "empty").touch()
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "envpin.json").touch()
    completed = envpin("replay", "train", tmp_path / given, "--print-loss")
    assert completed.status == 2
    assert said in completed.stderr
