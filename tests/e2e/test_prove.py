"""`envpin prove` as a user runs it, on an adapter that was trained for real."""

from __future__ import annotations

import json
import os
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from envpin.core import process
from tests.support.adapters import copy
from tests.support.command import answer, envpin, variables
from tests.support.environments import pinned
from tests.support.walks import Walk

pytestmark = pytest.mark.xdist_group("prove")


# A merge at half the scale: what merging changed is there half.
HALVED = """
import shutil, sys
from safetensors.torch import load_file, save_file
base, merged, out = sys.argv[1:]
shutil.copytree(merged, out)
old, new = (load_file(folder + "/model.safetensors") for folder in (base, merged))
half = {name: (old[name].float() + new[name].float()).div(2).to(new[name].dtype) for name in new}
save_file(half, out + "/model.safetensors", {"format": "pt"})
"""


def proof(pair: Path, merged: Path) -> tuple[int, dict[str, Any]]:
    completed = envpin("prove", pair / "base", pair / "adapter", merged, "--json")
    document: dict[str, Any] = json.loads(completed.stdout)
    return completed.status, document


def test_a_merge_is_proved_without_its_record_and_what_is_not_one_is_named(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    merged = pair / "merged"
    answer("replay", "merge", pair / "adapter", "-o", merged)
    (merged / "envpin-merge.json").unlink()
    halved = process.run([pinned("peft012").python, "-c", HALVED, pair / "base", merged, pair / "halved"])
    assert halved.status == 0, halved.stderr
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    walk = Walk("prove-a-merge.md", pair, variables({"PATH": tools}))
    walk.type()
    walk.type()
    walk.end()

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


def test_right_values_under_names_that_peft_gives_are_said_to_be_right(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    merged, name = tmp_path / "merged", "model.layers.0.self_attn.q_proj"
    answer("replay", "merge", pair / "adapter", "-o", merged)
    file = merged / "model.safetensors"
    data = file.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header[f"{name}.modules_to_save.default.weight"] = header.pop(f"{name}.weight")
    written = json.dumps(header).encode()
    file.write_bytes(len(written).to_bytes(8, "little") + written + data[end:])
    status, document = proof(pair, merged)
    assert status == 1
    (trouble,) = document["troubles"]
    assert (trouble["code"], trouble["tensors"]) == ("peft-names", [f"{name}.weight"])
    (listed,) = document["listed"]
    assert listed["why"] == f"its values are right, under peft's own name `{name}.modules_to_save.default.weight`"


def test_each_format_of_ci_shows_the_trouble_and_where(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    shutil.copytree(pair / "base", tmp_path / "unmerged")
    name = "model.layers.0.self_attn.q_proj.weight"

    def printed(form: str) -> str:
        completed = envpin("prove", "plain/base", "plain/adapter", "unmerged", "--format", form, cwd=tmp_path)
        assert completed.status == 1, completed.stderr
        return completed.stdout

    (result,) = json.loads(printed("sarif"))["runs"][0]["results"]
    assert (result["ruleId"], result["level"], result["kind"]) == ("not-applied", "error", "fail")
    assert name in result["message"]["text"]
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert place.startswith("unmerged")
    (line,) = printed("github").splitlines()
    assert line.startswith("::error file=unmerged")
    assert "title=envpin not-applied::" in line
    suite = ET.fromstring(printed("junit"))[0]  # noqa: S314  our own output
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("1", "1")
    (failure,) = suite.iter("failure")
    assert (failure.attrib["type"], name in (failure.text or "")) == ("not-applied", True)
    assert json.loads(printed("json"))["troubles"][0]["code"] == "not-applied"
    assert "not-applied: the adapter was not applied" in printed("text")
