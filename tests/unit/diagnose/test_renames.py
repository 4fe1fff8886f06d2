"""The names that newer releases give to what lies in a checkpoint, and so to the modules of an adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.diagnose.check import check
from envpin.diagnose.expected import ExpectedShapes, expected_shapes
from envpin.diagnose.fit import Fit
from envpin.diagnose.renames import collected_from, rules_for
from envpin.manifest.types import Distribution, Manifest
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path

_VIT = "vit.encoder.layer.0"
_EXPERTS = "model.layers.0.block_sparse_moe.experts"
# What is said of the bases of these tests, which hold the tensors that a test is about, and no others.
_OF_HALF_A_BASE = {"model-tensors-missing", "architecture-drift", "config-needs-newer-transformers"}


def of(tmp_path: Path, model_type: str, shapes: dict[str, tuple[int, ...]], **more: object) -> ExpectedShapes:
    base = write_model(tmp_path / "base", shapes, {"model_type": model_type, **more})
    found = expected_shapes(open_checkpoint(base))
    assert found is not None
    return found


# Each as transformers 5.23 saves the family and peft 0.21.2 names its adapter.
@pytest.mark.parametrize(
    ("model_type", "stored", "module"),
    [
        ("vit", f"{_VIT}.attention.attention.query.weight", "vit.layers.0.attention.q_proj"),
        ("vit", f"{_VIT}.attention.output.dense.weight", "vit.layers.0.attention.o_proj"),
        ("vit", f"{_VIT}.intermediate.dense.weight", "vit.layers.0.mlp.fc1"),
        ("vit", f"{_VIT}.output.dense.weight", "vit.layers.0.mlp.fc2"),
        ("mixtral", "model.layers.0.block_sparse_moe.gate.weight", "model.layers.0.mlp.gate"),
        ("mixtral", f"{_EXPERTS}.0.w2.weight", "model.layers.0.mlp.experts"),
        ("mixtral", f"{_EXPERTS}.0.w1.weight", "model.layers.0.mlp.experts.base_layer"),
        ("gpt_neox", "embed_out.weight", "lm_head"),
        ("clip_vision_model", "vision_model.encoder.layers.0.mlp.fc1.weight", "encoder.layers.0.mlp.fc1"),
    ],
)
def test_a_module_is_found_under_its_newer_name(model_type: str, stored: str, module: str, tmp_path: Path) -> None:
    assert of(tmp_path, model_type, {stored: (8, 4)}).module_name(module) == stored
    assert of(tmp_path, "llama", {stored: (8, 4)}).name_of(f"{module}.q.weight") is None


def test_only_what_is_renamed_whole_keeps_its_shape(tmp_path: Path) -> None:
    gate = "model.layers.0.block_sparse_moe.gate.weight"
    expected = of(tmp_path, "mixtral", {gate: (4, 8), f"{_EXPERTS}.0.w2.weight": (8, 16)})
    assert expected.shape_of("model.layers.0.mlp.gate.weight") == (4, 8)
    assert expected.name_of("model.layers.0.mlp.experts.down_proj") == f"{_EXPERTS}.0.w2.weight"
    assert expected.shape_of("model.layers.0.mlp.experts.down_proj") is None
    assert expected.shape_of(f"{_EXPERTS}.0.w2.weight") == (8, 16)


def test_the_rules_of_a_model_are_those_of_its_parts_too() -> None:
    assert rules_for({"model_type": "of-tomorrow"}) == ()
    assert rules_for({"model_type": "of-tomorrow", "vision_config": {"model_type": "vit"}}) == rules_for(
        {"model_type": "vit"}
    )
    assert rules_for({"architectures": ["ViTForImageClassification"], "model_type": 3}) == ()


@pytest.mark.parametrize(
    ("model_type", "base", "modules"),
    [
        # gpt-oss with both stacks of experts in `target_parameters`: the second wraps the first.
        ("gpt_oss", ["model.layers.0.mlp.experts.down_proj", "model.layers.0.mlp.experts.gate_up_proj"],
         ["model.layers.0.mlp.experts", "model.layers.0.mlp.experts.base_layer"]),
        ("siglip_vision_model", ["head.attention.in_proj_weight", "head.attention.out_proj.weight"],
         ["head.attention", "head.attention.base_layer.out_proj"]),
    ],
)  # fmt: skip
def test_adapters_within_adapters_are_of_the_base(
    model_type: str, base: list[str], modules: list[str], tmp_path: Path
) -> None:
    write_model(tmp_path / "base", dict.fromkeys(base, (8, 8)), {"model_type": model_type})
    shapes = {f"base_model.model.{one}.lora_{side}.weight": (8, 8) for one in modules for side in "AB"}
    adapter = write_adapter(tmp_path / "adapter", shapes, target_modules=["experts", "attention"])
    assert {one.code for one in check(adapter).findings} <= {"adapter-is-noop", *_OF_HALF_A_BASE}


@pytest.mark.parametrize("stored", [True, False])
def test_a_head_that_is_tied_is_in_the_base(stored: bool, tmp_path: Path) -> None:
    """LoRA on the head of Qwen2.5 0.5B, Gemma, T5: their files hold one table for embedding and head."""
    shapes = {name: shape for name, shape in llama_shapes().items() if "lm_head" not in name}
    base = write_model(tmp_path / "base", shapes, llama_config(tie_word_embeddings=True))
    if not stored:
        (base / "model.safetensors").unlink()
    expected = expected_shapes(open_checkpoint(base))
    assert expected is not None
    assert expected.module_name("lm_head") == "model.embed_tokens.weight"
    assert expected.module_name("model.layers.0.output") is None
    untied = of(tmp_path / "untied", "llama", llama_shapes())
    assert untied.module_name("lm_head") == "lm_head.weight"


def test_a_table_that_encoder_and_decoder_share_is_in_the_base(tmp_path: Path) -> None:
    """LoRA on the embedding of T5: peft 0.21.2 names both places, and the file has `shared.weight`."""
    write_model(tmp_path / "base", {"shared.weight": (64, 32)}, {"model_type": "t5"})
    shapes = {
        f"base_model.model.{place}.embed_tokens.lora_embedding_{side}": (8, 64) if side == "A" else (32, 8)
        for place in ("encoder", "decoder")
        for side in "AB"
    }
    adapter = write_adapter(tmp_path / "adapter", shapes, target_modules=["embed_tokens"])
    assert {one.code for one in check(adapter).findings} <= {"adapter-is-noop", "tied-head"}


@pytest.mark.parametrize(
    ("config", "codes"),
    [
        ({"init_r": 8, "r": 4}, []),
        ({"init_r": 12, "r": 8}, ["rank-mismatch"]),
        # A mask says which ranks are left.
        ({"init_r": 12, "r": 8, "rank_pattern": {"model.layers.0.self_attn.q_proj.lora_E": [True] * 8}}, []),
    ],
)
def test_the_rank_of_adalora_is_where_it_began(config: dict[str, Any], codes: list[str], tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama_shapes())
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()), peft_type="ADALORA", total_step=9,
                            **config)  # fmt: skip
    assert [one.code for one in check(adapter).findings if one.code != "adapter-is-noop"] == codes


def test_blocks_of_a_diagonal_are_no_widths_of_another_base(tmp_path: Path) -> None:
    """BD-LoRA of peft 0.21.2: of q_proj A is cut into blocks, of o_proj B."""
    write_model(tmp_path / "base", llama_shapes())
    at = "base_model.model.model.layers.0.self_attn"
    shapes = {
        f"{at}.q_proj.lora_A.weight": (8, 32), f"{at}.q_proj.lora_B.weight": (64, 8),
        f"{at}.o_proj.lora_A.weight": (8, 64), f"{at}.o_proj.lora_B.weight": (64, 4),
    }  # fmt: skip
    blocks = {"nblocks": 2, "target_modules_bd_a": ["q_proj"], "target_modules_bd_b": ["o_proj"]}
    targets = ["q_proj", "o_proj"]
    adapter = write_adapter(
        tmp_path / "adapter", shapes, use_bdlora=blocks, layers_to_transform=[0], target_modules=targets
    )
    assert [one.code for one in check(adapter).findings if one.code != "adapter-is-noop"] == []


@pytest.mark.parametrize(
    ("stored", "codes"),
    [
        ("model.layers.0.mlp.experts.down_proj", []),  # gpt-oss: fused since 4.55
        ("model.layers.0.mlp.experts.0.down_proj.weight", ["moe-layout"]),
    ],
)
def test_fused_experts_are_those_of_the_base_or_of_transformers_5(
    stored: str, codes: list[str], tmp_path: Path
) -> None:
    write_model(tmp_path / "base", {stored: (8, 8)}, {"model_type": "of-tomorrow"})
    shapes = {f"base_model.model.model.layers.0.mlp.experts.lora_{side}.weight": (8, 8) for side in "AB"}
    adapter = write_adapter(tmp_path / "adapter", shapes, target_parameters=["mlp.experts.down_proj"])
    found = check(adapter, target={"transformers": "4.57.6"}).findings
    assert [one.code for one in found if one.code not in {"adapter-is-noop", *_OF_HALF_A_BASE}] == codes


@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize(("newer", "severity"), [(False, "blocker"), (True, "warning")])
def test_a_release_whose_names_were_never_read_lacks_no_module(
    newer: bool, severity: str, kept: int, tmp_path: Path
) -> None:
    write_model(tmp_path / "base", llama_shapes())
    shapes = lora_shapes(llama_shapes())
    old = next(name.partition(".lora_")[0] for name in shapes) if kept else ""
    shapes = {name if old and name.startswith(old) else name.replace("self_attn", "attention"): shape
              for name, shape in shapes.items()}  # fmt: skip
    major, minor = map(int, collected_from().split(".")[:2])
    target = {"transformers": f"{major}.{minor + newer}.3"}
    found = {one.code: one for one in check(write_adapter(tmp_path / "adapter", shapes), target=target).findings}
    one = found["unmatched-adapter-keys" if kept else "wrong-base-architecture"]
    assert one.severity == severity
    assert (f"names up to {collected_from()}" in one.message) is newer
    recorded = Manifest(schema=1, distributions=(Distribution(name="transformers", version=target["transformers"]),))
    misfit = Fit(open_checkpoint(tmp_path / "adapter"), recorded)(open_checkpoint(tmp_path / "base"))
    assert (misfit is None) is bool(newer or kept)
