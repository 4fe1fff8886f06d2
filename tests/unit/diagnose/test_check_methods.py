"""What `check` says of each method's tensors by their names, shapes and values: shapes as peft 0.21.2 writes them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from envpin.diagnose.check import check
from tests.support.checkpoints import llama_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpin.core.findings import Finding

_Q = "base_model.model.model.layers.0.self_attn.q_proj"
_PAIR = {f"{_Q}.lora_A.weight": (4, 64), f"{_Q}.lora_B.weight": (64, 4)}


def findings(tmp_path: Path, tensors: Mapping[str, tuple[int, ...]], **config: Any) -> dict[str, Finding]:
    write_model(tmp_path / "base", llama_shapes())
    return {one.code: one for one in check(write_adapter(tmp_path / "adapter", tensors, **config)).findings}


@pytest.mark.parametrize(
    ("kind", "tensor", "field", "values"),
    [
        ("MISS", (".miss_block", (8, 64)), "r", (8, 64)),
        ("MISS", (".miss_block", (4, 16, 16)), "r", (16, 8)),
        ("C3A", (".c3a_kernel", (4, 4, 16)), "block_size", (16, 32)),
        ("RANDLORA", (".randlora_lambda", (4, 16)), "r", (4, 8)),
        ("DELORA", (".delora_A", (8, 64)), "r", (8, 16)),
        ("GRALORA", (".gralora_A", (2, 32, 32)), "gralora_k", (2, 4)),
    ],
)
def test_a_method_of_another_size_than_its_config_is_named(
    kind: str, tensor: tuple[str, tuple[int, ...]], field: str, values: tuple[int, int], tmp_path: Path
) -> None:
    part, shape = tensor
    for value, wrong in zip(values, (False, True), strict=True):
        found = findings(tmp_path / str(value), {f"{_Q}{part}": shape}, peft_type=kind, **{field: value})
        assert ("method-shape-mismatch" in found) == wrong


def test_prompts_of_an_encoder_and_a_decoder_are_kept_twice(tmp_path: Path) -> None:
    for copies, code in ((2, False), (1, True)):
        found = findings(
            tmp_path / str(copies), {"prompt_embeddings": (16, 32)}, peft_type="PROMPT_TUNING",
            num_virtual_tokens=8, num_transformer_submodules=copies,
        )  # fmt: skip
        assert ("method-shape-mismatch" in found) == code


def test_factors_of_adalora_have_no_weight_at_their_end(tmp_path: Path) -> None:
    tensors = {f"{_Q}.lora_A": (12, 64), f"{_Q}.lora_B": (64, 12), f"{_Q}.lora_E": (12, 1)}
    assert "tensors-not-of-method" not in findings(tmp_path, tensors, peft_type="ADALORA", init_r=12, total_step=9)


@pytest.mark.parametrize(
    ("kind", "names", "says"),
    [
        ("LOHA", (f"{_Q}.lora_A.weight", f"{_Q}.lora_B.weight"), "as those of LORA"),
        ("IA3", (f"{_Q}_l",), "`.ia3_l` for `_l`"),
        ("LOHA", (f"{_Q}_w1_a", f"{_Q}_w1_b"), "`.hada_w1_a` for `_w1_a`"),
        ("LORA", (f"{_Q}_A.weight", f"{_Q}_B.weight"), "`.lora_A` for `_A`"),
    ],
)
def test_names_of_no_method_come_with_the_step_that_repairs_them(
    kind: str, names: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    found = findings(tmp_path, dict.fromkeys(names, (4, 64)), peft_type=kind)["tensors-not-of-method"]
    assert says in found.fix[0]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"lora_alpha": 0}, "`lora_alpha` is 0: the adapter changes nothing"),
        ({"lora_alpha": 0, "use_dora": True}, "the magnitudes of DoRA alone act"),
        ({"alpha_pattern": {"q_proj": 0}}, "`alpha_pattern` is 0 for `q_proj`"),
    ],
)
def test_a_scaling_of_zero_says_what_still_acts(config: dict[str, Any], says: str, tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama_shapes())
    folder = write_adapter(tmp_path / "adapter", _PAIR, **config)
    assert any(says in one.message for one in check(folder).findings if one.code == "adapter-is-noop")


def test_a_method_that_peft_gave_up_is_said_once(tmp_path: Path) -> None:
    found = check(write_adapter(tmp_path / "adapter", {f"{_Q}.bone_block": (8, 64)}, peft_type="BONE", r=8)).findings
    older = [one for one in found if one.code == "adapter-needs-older-peft"]
    assert [one.message for one in older] == ["peft 0.19.0 and newer do not know the method BONE"]


def test_an_empty_file_of_trained_weights_is_called_empty(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "adapter", _PAIR)
    (folder / "non_lora_trainables.bin").write_bytes(b"")
    found = next(one for one in check(folder).findings if one.code == "trained-weights-elsewhere")
    assert "is empty (0 bytes)" in found.message


@pytest.mark.parametrize("field", ["r", "lora_alpha"])
def test_null_is_refused_where_it_is_not_the_method_s_own_default(field: str, tmp_path: Path) -> None:
    """LoRA's own default was null in peft 0.2 only; Super Tuning's is null today."""
    sparse = {"peft_type": "SUPERTUNING", "r": None, "lora_alpha": None, "target_modules": ["q_proj"]}
    assert "corrupt-header" not in findings(tmp_path / "own", {f"{_Q}.supertuning_weight": (9,)}, **sparse)
    named = findings(tmp_path / "lora", _PAIR, **{"r": 4, "lora_alpha": 8, field: None})
    assert f"`{field}` is null" in named["corrupt-header"].message


@pytest.mark.parametrize(
    ("kind", "part", "start"),
    [
        ("IA3", "ia3_l", 1.0), ("VERA", "vera_lambda_b", 0.0), ("OFT", "oft_R.weight", 0.0),
        ("MISS", "miss_block", 0.0), ("SHIRA", "shira_weight", 0.0), ("C3A", "c3a_kernel", 0.0),
    ],
)  # fmt: skip
def test_a_method_whose_parts_are_as_they_began_changes_nothing(
    kind: str, part: str, start: float, tmp_path: Path
) -> None:
    tensors = {f"{_Q}.{part}": (4, 16)}
    folder = write_adapter(tmp_path / "adapter", tensors, peft_type=kind)
    weights = folder / "adapter_model.safetensors"
    head = weights.read_bytes()[:-256]
    for changed, is_noop in ((start, True), (0.5, False)):
        weights.write_bytes(head + struct.pack("<64f", *[start] * 63, changed))
        assert ("adapter-is-noop" in {one.code for one in check(folder).findings}) == is_noop


def test_trained_tokens_have_a_row_for_each_of_the_config_and_are_said_once(tmp_path: Path) -> None:
    rows = {"base_model.model.model.embed_tokens.trainable_tokens_delta": (2, 64)}
    config = {"peft_type": "TRAINABLE_TOKENS", "target_modules": "model.embed_tokens", "token_indices": [1, 2, 3]}
    found = findings(tmp_path, rows, **config)["method-shape-mismatch"]
    assert "2 rows, and `token_indices` names 3 tokens" in found.message
    own = {**_PAIR, "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": (2, 64)}
    of_lora = check(write_adapter(tmp_path / "lora", own, r=4, trainable_token_indices=[1, 2, 3])).findings
    assert [one.code for one in of_lora if "trainable_token" in one.message] == ["adapter-tensors-missing"]
