"""Recipes in YAML tell Axolotl and LLaMA-Factory; other YAML tells nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.inference.recipes import trainer_of_recipe
from envpin.inference.traces import read_traces
from envpin.inference.trainers import recognise

if TYPE_CHECKING:
    from pathlib import Path

AXOLOTL = """base_model: NousResearch/Llama-3.2-1B
load_in_4bit: true
datasets:
  - path: teknium/GPT4-LLM-Cleaned
    type: alpaca
sequence_len: 2048
adapter: qlora
micro_batch_size: 2
"""
LLAMAFACTORY = """### model
model_name_or_path: Qwen/Qwen2.5-7B-Instruct
### method
stage: sft
do_train: true
finetuning_type: lora
### dataset
dataset: identity
template: qwen
cutoff_len: 2048
"""
OTHER = {
    "conda": "name: tune\nchannels: [pytorch]\ndependencies:\n  - python=3.11\n",
    "workflow": "on: push\njobs:\n  test:\n    steps: []\n",
    "nested": "outer:\n  base_model: x\n  datasets: []\n  sequence_len: 1\n",
    "nothing": "",
    "noise": "\x00" * 1000,
}


@pytest.mark.parametrize(("text", "trainer"), [(AXOLOTL, "axolotl"), (LLAMAFACTORY, "llamafactory")])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_recipe_names_its_trainer(text: str, trainer: str, ends: str) -> None:
    assert trainer_of_recipe(text.replace("\n", ends)) == trainer


@pytest.mark.parametrize("kind", OTHER)
def test_other_yaml_is_no_recipe(kind: str) -> None:
    assert trainer_of_recipe(OTHER[kind]) is None


def test_a_recipe_next_to_an_adapter_is_a_sign_of_its_trainer(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(AXOLOTL)
    (tmp_path / "folder.yaml").mkdir()
    found = recognise(read_traces(tmp_path, ["config.yml", "folder.yaml", "adapter_config.json"]))
    assert found is not None
    assert (found.trainer, found.strength) == ("axolotl", "strong")
