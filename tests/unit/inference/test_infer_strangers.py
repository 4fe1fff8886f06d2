"""Adapters of strangers whose files leave no pair, no base, or a base of another library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from packaging.specifiers import SpecifierSet

from envpin.inference.infer import infer
from tests.support.places import DATA

if TYPE_CHECKING:
    from pathlib import Path

# Every key that peft 0.3.0 writes, and none of a later release.
OLD = {
    "base_model_name_or_path": "x/y", "bias": "none", "fan_in_fan_out": False, "inference_mode": True,
    "init_lora_weights": True, "lora_alpha": 32, "lora_dropout": 0.05, "modules_to_save": None, "peft_type": "LORA",
    "r": 8, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM",
}  # fmt: skip


def write(folder: Path, config: dict[str, Any], card: str = "") -> Path:
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text(card)
    return folder


def test_a_floor_that_transformers_declares_for_its_own_loader_rules_no_training_out(tmp_path: Path) -> None:
    """transformers 4.33.3 asks for peft 0.5.0, and runs were made with it and peft 0.3.0."""
    found = infer(write(tmp_path, OLD, "- Transformers 4.33.3\n"))
    assert [dict(one.pins)["peft"] for one in found.candidates] == ["0.3.0"]


def test_the_floor_holds_where_something_meets_it(tmp_path: Path) -> None:
    found = infer(write(tmp_path, {"peft_type": "LORA", "base_model_name_or_path": "x"}, "- Transformers 4.33.3\n"))
    assert {"0.3.0", "0.4.0"}.isdisjoint(one.pins["peft"] for one in found.candidates)


@pytest.mark.parametrize(
    ("config", "below"),
    [
        ({"peft_type": "ADALORA", "init_r": 12, "target_r": 8, "total_step": None}, "0.15.0"),
        ({"layers_pattern": "layers", "layers_to_transform": None}, "0.14.0"),
    ],
)
def test_no_release_is_proposed_that_refuses_what_the_config_says(
    config: dict[str, Any], below: str, tmp_path: Path
) -> None:
    found = infer(write(tmp_path, NOW | config))
    assert found.candidates
    assert all(one.pins["peft"] in SpecifierSet(f"<{below}") for one in found.candidates)


def test_what_keeps_every_pair_apart_is_said(tmp_path: Path) -> None:
    found = infer(write(tmp_path, OLD, "- PEFT 0.3.0\n- Transformers 5.0.0\n"))
    assert not found.candidates
    assert any("transformers 5.0.0" in note for note in found.notes)


def test_nothing_is_proposed_where_neither_a_file_nor_the_base_speaks(tmp_path: Path) -> None:
    found = infer(write(tmp_path, {"error": "Repository not found"}))
    assert (found.candidates, found.says_something) == ((), False)


def test_the_library_of_another_base_is_named(tmp_path: Path) -> None:
    mapping = {"base_model_class": "UNet2DConditionModel", "parent_library": "diffusers.models.unets"}
    found = infer(write(tmp_path, {**OLD, "auto_mapping": mapping, "base_model_name_or_path": None}))
    assert any("`UNet2DConditionModel` of `diffusers`" in note for note in found.notes)
    mapping = {"base_model_class": "BertModel", "parent_library": "transformers.models.bert.modeling_bert"}
    own = infer(write(tmp_path, {**OLD, "auto_mapping": mapping}))
    assert not any("besides these pins" in note for note in own.notes)


CARD = "- PEFT 0.13.2\n"
NOW = {"peft_type": "LORA", "base_model_name_or_path": "x", "r": 8, "target_modules": ["q_proj"]}
BASES = {"width-pruned": ">=4.45.0", "head-dim-128": ">=4.43.0", "partial-rotary-075": ">=4.49.0"}


@pytest.mark.parametrize("case", BASES)
def test_what_a_field_of_the_base_needs_bounds_what_is_proposed(tmp_path: Path, case: str) -> None:
    found = infer(write(tmp_path, NOW, CARD), base=str(DATA / "cases" / "resolve" / case))
    proposed = [one.pins["transformers"] for one in found.candidates]
    assert proposed
    assert all(SpecifierSet(BASES[case]).contains(one) for one in proposed)


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("microsoft/Phi-4-mini-instruct", ">=4.49.0"),
        ("THUDM/GLM-4-9B-0414", ">=4.51.3"),
        ("google/t5gemma-2b-2b-ul2", ">=4.53.0"),
        ("tiiuae/falcon-mamba-7b", ">=4.45.0"),
        ("llava-hf/llava-onevision-qwen2-7b-ov-hf", ">=4.45.0"),
    ],
)
def test_what_a_name_tells_of_a_model_bounds_what_is_proposed(tmp_path: Path, name: str, needed: str) -> None:
    """Models of one family differ, and types of no family have a first release as well."""
    found = infer(write(tmp_path, NOW | {"base_model_name_or_path": name}, CARD))
    proposed = [one.pins["transformers"] for one in found.candidates]
    assert proposed
    assert all(SpecifierSet(needed).contains(one) for one in proposed)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "training_args.bin: empty (0 bytes)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5560\n", "a git-lfs pointer, not the file"),
        (b"PK\x03\x04 and no more", "training_args.bin: cut, or no arguments that `torch.save` wrote"),
    ],
)
def test_arguments_that_cannot_be_read_are_named(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "training_args.bin").write_bytes(content)
    assert any(says in note for note in infer(write(tmp_path, NOW)).notes)


def test_the_list_of_another_program_orders_nothing(tmp_path: Path) -> None:
    """`use_dora` came with peft 0.9.0: the list is of what shows the adapter, and its transformers says nothing."""
    config = OLD | {"use_dora": True, "use_rslora": False}
    plain = infer(write(tmp_path, config))
    (tmp_path / "requirements.txt").write_text("peft==0.4.0\ntransformers==4.31.0\n")
    found = infer(tmp_path)
    assert [one.pins for one in found.candidates] == [one.pins for one in plain.candidates]
    assert any("requirements.txt lists" in note and "left aside" in note for note in found.notes)
