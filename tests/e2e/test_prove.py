"""`envpin prove` as a user runs it, on an adapter that was trained for real."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.adapters import copy
from tests.support.command import answer, envpin

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("prove")


def proof(pair: Path, merged: Path) -> tuple[int, dict[str, Any]]:
    completed = envpin("prove", pair / "base", pair / "adapter", merged, "--json")
    document: dict[str, Any] = json.loads(completed.stdout)
    return completed.status, document


def test_a_merge_is_proved_without_its_record_and_what_is_not_one_is_named(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    merged = tmp_path / "merged"
    answer("replay", "merge", pair / "adapter", "-o", merged)
    (merged / "envpin-merge.json").unlink()

    status, document = proof(pair, merged)
    assert status == 0, document
    assert document["proved"]
    assert document["counts"] == {"tensors": 21, "equal": 21, "rounding": 0, "not_compared": 0, "wrong": 0}
    assert document["changed"]["tensors"] == 4
    assert document["environment"]["chosen"] == "the recorded one of the adapter"

    pointed = envpin("verify", merged)
    assert pointed.status == 2
    assert "envpin prove BASE ADAPTER" in pointed.stderr

    shutil.copytree(pair / "base", tmp_path / "unmerged")
    status, document = proof(pair, tmp_path / "unmerged")
    assert status == 1
    (trouble,) = document["troubles"]
    assert (trouble["code"], trouble["layers"], len(trouble["tensors"])) == ("not-applied", [0, 1], 4)
    said = envpin("prove", pair / "base", pair / "adapter", tmp_path / "unmerged")
    assert "not-applied: the adapter was not applied" in said.stdout
    assert "model.layers.0.self_attn.q_proj.weight" in said.stdout


def test_a_grown_vocabulary_over_tied_tables_is_proved(tmp_path: Path) -> None:
    pair = copy("grown-tied", tmp_path)
    merged = tmp_path / "merged"
    answer("replay", "merge", pair / "adapter", "-o", merged)
    status, document = proof(pair, merged)
    assert status == 0, document["troubles"]
    assert document["changed"]["tensors"] == 6


def test_bad_input_is_an_error_of_its_own(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    completed = envpin("prove", pair / "base", pair / "adapter", tmp_path / "nowhere")
    assert completed.status == 2
    assert completed.stderr.count("error: ") == 1
    assert "nowhere` does not exist" in completed.stderr
