"""QLoRA, recorded and replayed for real: the question, both answers, and what the record keeps of them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.adapters import copy
from tests.support.command import answer, envpin, variables
from tests.support.walks import Walk

pytestmark = pytest.mark.xdist_group("replay-quantized")


def merged(pair: Path, out: Path, policy: str, *words: object) -> dict[str, Any]:
    found = answer("replay", "merge", pair / "adapter", "-o", out, "--quantized-base", policy, *words)
    record = checked(out, policy)
    assert record == found["merge"]
    return record


def checked(out: Path, policy: str, *more: str) -> dict[str, Any]:
    """The record of a merge with this answer, whose verdict is good, or one of `more`."""
    record: dict[str, Any] = json.loads((out / "envpin-merge.json").read_text())
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
    assert (out / "tokenizer.json").is_file()
    assert record["verdict"]["kind"] in {"identical", "explained-drift", *more}
    assert record["quantized_base"]["policy"] == policy
    assert envpin("verify", out).status == 0
    return record


@pytest.mark.parametrize("name", ["qlora", "qlora-packed"])
def test_without_an_answer_nothing_is_built_and_both_choices_are_shown(name: str, tmp_path: Path) -> None:
    pair = copy(name, tmp_path)
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "out")
    assert completed.status == 1
    assert "is for you to choose with --quantized-base" in completed.stderr
    assert "--quantized-base original" in completed.stderr
    assert "--quantized-base dequantize" in completed.stderr
    assert not (pair / "out").exists()
    dry = envpin("replay", "merge", pair / "adapter", "-o", pair / "out", "--dry-run", "--json")
    assert dry.status == 1
    plan = json.loads(dry.stdout)["plan"]
    assert plan["quantized_base"]["policy"] is None
    assert plan["quantized_base"]["method"] == "bitsandbytes"


def test_qlora_over_a_16_bit_base(tmp_path: Path) -> None:
    """Both answers, and that they differ: one equals a merge into the plain base, one does not touch it as such."""
    pair = copy("qlora", tmp_path)
    dequantized = merged(pair, pair / "dequantized", "dequantize")
    assert dequantized["engine"] == "stream"
    assert dequantized["environment"]["packages"]["bitsandbytes"] == "0.50.2"
    assert dequantized["merge"]["quantized"]["kinds"] == {"bitsandbytes-nf4": 14}
    assert dequantized["verification"]["dequantized"] == 10
    assert dequantized["verification"]["asked"] == "quantized"
    assert dequantized["verification"]["probe"]["ratio"] < 0.1
    original = merged(pair, pair / "original", "original")
    assert original["verification"]["dequantized"] == 0
    assert original["verification"]["untouched"] == 17
    assert original["inputs_digest"] != dequantized["inputs_digest"]


def test_qlora_over_a_base_that_was_saved_quantized(tmp_path: Path) -> None:
    """As the how-to says, which first shows the question over a 16-bit base; that is the original of this one too."""
    pair, original = copy("qlora-packed", tmp_path), copy("qlora", tmp_path)
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    walk = Walk("merge-a-qlora-adapter.md", original, variables({"PATH": tools}))
    walk.type()
    walk.folder = pair
    walk.type(instead={"ORIGINAL": str(original / "base")})
    walk.end()
    assert checked(pair / "original", "original", "identical-environment")["verification"]["dequantized"] == 0
    record = checked(pair / "dequantized", "dequantize")
    said = record["merge"]["quantized"]
    assert said["classes"] == said["equal_to_library"] > 0
    assert record["verification"]["asked"] == "quantized"
    assert record["verification"]["probe"]["ratio"] < 0.1
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "out", "--quantized-base", "original")
    assert completed.status == 1
    assert "needs the 16-bit original, given with --base" in completed.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--quantized-base", "dequantize"), "nothing is to be dequantized"),
        (("--quantized-base", "dequantize", "--engine", "peft"), "works with the engine `stream` only"),
    ],
)
def test_answers_that_make_no_sense(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "out", *words)
    assert completed.status == 2, completed.stderr
    assert message in completed.stderr
