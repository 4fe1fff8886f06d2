"""Cases from real use (tests/data/cases/check): what check must say, and what it must never advise."""

from __future__ import annotations

import json
import shutil
import struct
from typing import TYPE_CHECKING

import pytest

from envpin.diagnose.check import check
from envpin.diagnose.detectors.methods import PREFIXES
from envpin.diagnose.detectors.unmergeable import load_rules
from envpin.matrix.fields import load_fields
from envpin.workers.runtime.methods import refusal
from tests.support.places import DATA

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.findings import Finding

CASES = DATA / "cases" / "check"


def found(folder: Path, base: Path | None = None) -> dict[str, Finding]:
    return {one.code: one for one in check(folder, base=base).findings}


def serious(findings: dict[str, Finding]) -> set[str]:
    return {code for code, one in findings.items() if one.severity != "info"}


def test_a_file_without_a_tensor_of_its_method_is_a_blocker() -> None:
    said = found(CASES / "adapter-named-lora" / "adapter")
    assert serious(said) == {"tensors-not-of-method"}
    assert said["tensors-not-of-method"].severity == "blocker"
    assert "none of the 8 tensors" in said["tensors-not-of-method"].message
    assert "peft#2699" in said["tensors-not-of-method"].fix[0]


def test_an_alpha_of_zero_is_no_adapter_at_all() -> None:
    said = found(CASES / "alpha-zero" / "adapter")
    assert serious(said) == {"adapter-is-noop"}
    assert "lora_alpha" in said["adapter-is-noop"].message


def test_an_alpha_pattern_of_zero_is_said_too(tmp_path: Path) -> None:
    folder = with_config(tmp_path, "alpha-zero", lora_alpha=8, alpha_pattern={"q_proj": 0})
    assert "0 for `q_proj`" in found(folder)["adapter-is-noop"].message


def test_blocks_of_another_size_do_not_blame_the_base() -> None:
    said = found(CASES / "oft-block-size" / "adapter")
    assert serious(said) == {"method-shape-mismatch"}
    message = said["method-shape-mismatch"].message
    assert "4 blocks of 16" in message
    assert "blocks of 32" in message


def test_trained_weights_outside_of_the_adapter_are_named() -> None:
    said = found(CASES / "non-lora-file" / "adapter")
    assert serious(said) == {"trained-weights-elsewhere"}
    assert "non_lora_state_dict.bin" in said["trained-weights-elsewhere"].message


@pytest.mark.parametrize(
    "name", ["non_lora_trainables.bin", "value_head.bin", "v_head.safetensors", "mm_projector.bin"]
)
def test_every_name_of_trained_weights_is_known(tmp_path: Path, name: str) -> None:
    folder = with_config(tmp_path, "alpha-zero", lora_alpha=8)
    (folder / name).write_bytes(b"PK")
    assert name in found(folder)["trained-weights-elsewhere"].message


def test_replicated_layers_are_refused_by_their_field() -> None:
    said = found(CASES / "layer-replication" / "adapter")
    assert serious(said) == {"layer-replication"}
    assert "[[0, 2], [1, 2]]" in said["layer-replication"].message


ANNOUNCED: tuple[tuple[dict[str, object], str], ...] = (
    ({"init_lora_weights": "lora_ga"}, "base-change-lost"),
    ({"init_lora_weights": "corda"}, "base-change-lost"),
    ({"init_lora_weights": "pissa_niter_4"}, "base-change-lost"),
    ({"alora_invocation_tokens": [7, 9]}, "method-cannot-merge"),
    ({"peft_type": "XLORA"}, "method-cannot-merge"),
    ({"peft_type": "POLY"}, "method-cannot-merge"),
    ({"peft_type": "LILY"}, "method-cannot-merge"),
    ({"peft_type": "SHADOW"}, "method-cannot-merge"),
    ({"peft_type": "ADAPTION_PROMPT"}, "method-cannot-merge"),
    ({"peft_type": "PROMPT_TUNING"}, "method-cannot-merge"),
    ({"peft_type": "CARTRIDGE"}, "method-cannot-merge"),
    ({"layer_replication": [[0, 2], [1, 2]]}, "layer-replication"),
)


@pytest.mark.parametrize(("change", "code"), ANNOUNCED)
def test_what_replay_refuses_by_the_config_is_announced_in_its_words(
    tmp_path: Path, change: dict[str, object], code: str
) -> None:
    folder = with_config(tmp_path, "alpha-zero", **{"lora_alpha": 8, **change})
    said = found(folder)[code]
    refused = refusal(json.loads((folder / "adapter_config.json").read_text()))
    assert said.severity == "blocker"
    assert refused == (code, said.message)


def test_every_rule_is_met_by_one_of_these() -> None:
    for rule in load_rules():
        assert any(rule.met(change) for change, _ in ANNOUNCED), rule


def test_stacked_experts_of_a_hosted_trainer_get_no_advice_about_the_rank() -> None:
    said = found(CASES / "tinker-adapter" / "adapter")
    assert serious(said) == {"moe-layout"}
    assert not any("set `r`" in step or "--base OTHER" in step for one in said.values() for step in one.fix)


def test_linear_experts_of_gpt_oss_are_a_layout_that_no_release_has() -> None:
    said = found(CASES / "unsloth-gptoss-linear-experts" / "adapter")
    assert serious(said) == {"moe-layout"}
    assert not any("transformers 4.57" in step or "--base OTHER" in step for step in said["moe-layout"].fix)


def test_an_adapter_below_whole_weights_is_noted_with_the_command_that_merges_it() -> None:
    folder = CASES / "verl-merger-output"
    said = found(folder)
    assert not serious(said)
    assert said["adapter-below"].fix == (
        f"envpin replay merge {folder / 'lora_adapter'} --base {folder} -o OUT",)  # fmt: skip


def test_a_foreign_adapter_is_neither_corrupt_nor_incomplete() -> None:
    said = found(CASES / "mlx-adapter" / "adapters")
    assert set(said) == {"foreign-format"}
    assert "MLX LM" in said["foreign-format"].message
    assert "mlx-community/Qwen3-4B-4bit" in said["foreign-format"].message


def test_a_trained_head_is_no_extra_tensor() -> None:
    said = found(CASES / "seqcls-score-head" / "adapter", CASES / "seqcls-score-head" / "base")
    assert not serious(said)
    assert "classification head, 6 labels" in said["task-head"].message


@pytest.mark.parametrize("name", ["seqcls-score-head", "non-lora-file", "adapter-named-lora", "tinker-adapter"])
def test_nothing_that_was_trained_is_called_droppable(name: str) -> None:
    report = check(CASES / name / "adapter")
    steps = [step for one in report.findings for step in one.fix]
    steps += list(report.selective.steps) if report.selective is not None else []
    assert not any("drop" in step for step in steps)


def test_factors_of_unlike_ranks_get_no_advice_about_the_rank(tmp_path: Path) -> None:
    """The slice of one FSDP rank: `lora_A` is cut along its rank, `lora_B` is whole."""
    shapes = {"q_proj.lora_A": [2, 64], "q_proj.lora_B": [64, 4]}
    folder = with_config(tmp_path, "alpha-zero", lora_alpha=8, r=4)
    write(folder, {f"base_model.model.model.layers.0.self_attn.{name}.weight": shape for name, shape in shapes.items()})
    said = found(folder)["rank-mismatch"]
    assert not any("set `r`" in step for step in said.fix)


def test_factors_of_one_other_rank_may_be_told_the_rank(tmp_path: Path) -> None:
    folder = with_config(tmp_path, "alpha-zero", lora_alpha=8, r=8)
    assert any("set `r` to 4" in step for step in found(folder)["rank-mismatch"].fix)


def test_every_method_of_peft_is_listed_or_known_to_have_no_names_of_its_own() -> None:
    known = {name for name in load_fields().packages["peft"].classes if name.isupper()}
    odd = {"ADAPTION_PROMPT", "XLORA", "POLY"}  # tensors under names that no prefix tells
    newer = known - set(PREFIXES) - odd
    assert {"LORA", "OFT", "BOFT", "HRA"} <= set(PREFIXES)
    assert len(newer) < len(known) / 2, newer


@pytest.mark.parametrize(
    ("kind", "config", "tensor", "shape", "wrong"),
    [
        ("HRA", {"r": 8}, "q_proj.hra_u", [64, 4], True),
        ("HRA", {"r": 4}, "q_proj.hra_u", [64, 4], False),
        ("VERA", {"r": 256}, "q_proj.vera_lambda_d", [128], True),
        ("VERA", {"r": 128}, "q_proj.vera_lambda_d", [128], False),
        ("LOHA", {"r": 8}, "q_proj.hada_w1_b", [4, 64], True),
        ("FOURIERFT", {"n_frequency": 1000}, "q_proj.fourierft_spectrum", [500], True),
        ("BOFT", {"boft_block_size": 8}, "q_proj.boft_R", [1, 16, 4, 4], True),
        ("OFT", {"oft_block_size": 0, "r": 8}, "q_proj.oft_R.weight", [4, 120], True),
        ("OFT", {"oft_block_size": 16, "r": 0}, "q_proj.oft_R.weight", [4, 120], False),
        ("PROMPT_TUNING", {"num_virtual_tokens": 20}, "prompt_embeddings", [8, 64], True),
    ],
)
def test_shapes_of_every_method_are_held_against_its_config(
    tmp_path: Path, kind: str, config: dict[str, object], tensor: str, shape: list[int], *, wrong: bool
) -> None:
    folder = with_config(tmp_path, "alpha-zero", **config, peft_type=kind, lora_alpha=8)
    prefix = "" if tensor.startswith("prompt") else "base_model.model.model.layers.0.self_attn."
    write(folder, {f"{prefix}{tensor}": shape})
    assert ("method-shape-mismatch" in found(folder)) is wrong


def with_config(target: Path, case: str, **changes: object) -> Path:
    folder = target / "adapter"
    shutil.copytree(CASES / case / "adapter", folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    config |= {"base_model_name_or_path": str(CASES / "base")} | changes
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def write(folder: Path, shapes: dict[str, list[int]]) -> None:
    header: dict[str, object] = {}
    at = 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + b"\x01" * at
    (folder / "adapter_model.safetensors").write_bytes(data)
