"""A model's files against its config: what transformers would make at random, refuse, or leave out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from envpin.diagnose.check import check
from envpin.diagnose.layouts import described
from tests.support.checkpoints import (
    llama_config,
    llama_shapes,
    lora_shapes,
    write_adapter,
    write_model,
    write_safetensors,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from envpin.core.findings import Finding

_SHAPES = llama_shapes()
_Q = "model.layers.0.self_attn.q_proj"
Shapes = dict[str, tuple[int, ...]]


def said(tmp_path: Path, shapes: Shapes, config: dict[str, Any] | None = None, **target: str) -> dict[str, Finding]:
    """What is found of such a base, by code: of an adapter on it, and the same of the base alone."""
    base = write_model(tmp_path / "base", shapes, config)
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(_SHAPES))
    found = {one.code: one for one in check(adapter, target=target).findings}
    alone = {one.code: one.severity for one in check(base, target=target).findings}
    own = {"model-tensors-missing", "architecture-drift", "corrupt-header", "config-needs-newer-transformers"}
    assert {code: one for code, one in alone.items() if code in own} == {
        code: one.severity for code, one in found.items() if code in own
    }
    return found


def without(*parts: str) -> Shapes:
    return {name: shape for name, shape in _SHAPES.items() if not any(part in name for part in parts)}


def test_nothing_is_said_of_a_whole_model(tmp_path: Path) -> None:
    assert not {"model-tensors-missing", "architecture-drift", "corrupt-header"} & said(tmp_path, _SHAPES).keys()


@pytest.mark.parametrize("part", ["lm_head", "embed_tokens", "model.norm", "layers.1.mlp.up_proj", "layers.1."])
def test_tensors_that_transformers_would_make_at_random_are_a_blocker(part: str, tmp_path: Path) -> None:
    found = said(tmp_path, without(part))["model-tensors-missing"]
    assert found.severity == "blocker"
    assert part in (found.evidence[0].tensor or "")


def test_a_tied_head_need_not_be_there(tmp_path: Path) -> None:
    config = llama_config(tie_word_embeddings=True)
    assert "model-tensors-missing" not in said(tmp_path, without("lm_head"), config)


def test_a_switch_of_the_config_asks_for_more_tensors(tmp_path: Path) -> None:
    found = said(tmp_path, _SHAPES, llama_config(attention_bias=True))["model-tensors-missing"]
    assert found.message.startswith("8 of the 29 tensors")
    biases = {f"model.layers.{at}.self_attn.{one}_proj.bias": (64,) for at in (0, 1) for one in "qo"}
    biases |= {f"model.layers.{at}.self_attn.{one}_proj.bias": (32,) for at in (0, 1) for one in "kv"}
    (tmp_path / "more").mkdir()
    assert "model-tensors-missing" not in said(tmp_path / "more", _SHAPES | biases, llama_config(attention_bias=True))


def test_names_with_a_wrapper_in_front_are_told_from_missing_ones(tmp_path: Path) -> None:
    for wrapper in ("module.", "_orig_mod.", "base_model.model."):
        (tmp_path / wrapper).mkdir()
        found = said(tmp_path / wrapper, {f"{wrapper}{name}": shape for name, shape in _SHAPES.items()})
        assert f"with `{wrapper}` in front" in found["model-tensors-missing"].message


def test_files_of_the_model_without_its_head_load_into_the_class_with_it(tmp_path: Path) -> None:
    bare = {name.removeprefix("model."): shape for name, shape in _SHAPES.items()}
    assert "model-tensors-missing" not in said(tmp_path, bare)


def test_another_class_has_another_head(tmp_path: Path) -> None:
    shapes = without("lm_head") | {"score.weight": (2, 64)}
    found = said(tmp_path, shapes, llama_config(architectures=["LlamaForSequenceClassification"]))
    assert not {"model-tensors-missing", "architecture-drift"} & found.keys()


@pytest.mark.parametrize(("labels", "code"), [(None, None), (3, "architecture-drift"), (0, "model-tensors-missing")])
def test_a_classifier_has_a_row_for_each_label(labels: int | None, code: str | None, tmp_path: Path) -> None:
    config = llama_config(architectures=["LlamaForSequenceClassification"])
    shapes = without("lm_head") | ({"score.weight": (2, 64)} if labels != 0 else {})
    found = said(tmp_path, shapes, config | ({"num_labels": labels} if labels else {}))
    assert {"model-tensors-missing", "architecture-drift"} & found.keys() == ({code} if code else set())


def test_below_another_head_the_model_is_asked_for(tmp_path: Path) -> None:
    shapes = without("lm_head", "model.norm") | {"score.weight": (2, 64)}
    found = said(tmp_path, shapes, llama_config(architectures=["LlamaForSequenceClassification"]))
    assert "model.norm.weight" in str(found["model-tensors-missing"].evidence)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.embed_tokens.weight", lambda shape: (shape[0] - 20, shape[1])),
        (f"{_Q}.weight", lambda shape: (shape[0], shape[1], 1)),
        ("model.layers.1.self_attn.k_proj.weight", lambda shape: shape[::-1]),
        ("model.norm.weight", lambda _: (0,)),
    ],
)
def test_shapes_that_the_config_does_not_give_are_a_blocker(
    name: str, change: Callable[[tuple[int, ...]], tuple[int, ...]], tmp_path: Path
) -> None:
    found = said(tmp_path, _SHAPES | {name: change(_SHAPES[name])})["architecture-drift"]
    assert (found.severity, found.evidence[0].tensor) == ("blocker", name)


def test_the_field_that_the_tensors_go_against_is_named(tmp_path: Path) -> None:
    wide = {name: tuple(192 if one == 128 else one for one in shape) for name, shape in _SHAPES.items()}
    message = said(tmp_path, wide)["architecture-drift"].message
    assert message.endswith("6 tensors have another shape than config.json describes: `intermediate_size` is 128, "
                            "and they have 192")  # fmt: skip


@pytest.mark.parametrize(
    ("name", "is_said"),
    [
        (f"{_Q}.bias", True), (f"{_Q}.lora_A.weight", True), ("extra.weight", True),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", False),
    ],
)  # fmt: skip
def test_tensors_that_no_module_takes_are_a_warning(name: str, is_said: bool, tmp_path: Path) -> None:
    found = said(tmp_path, _SHAPES | {name: (64,)}).get("architecture-drift")
    assert (found is not None and found.severity == "warning" and "leaves it out" in found.message) is is_said


@pytest.mark.parametrize(
    ("field", "value", "severity"),
    [
        ("model_type", None, "blocker"), ("model_type", 3, "blocker"), ("model_type", "LLaMA", "blocker"),
        ("hidden_size", "64", "blocker"), ("hidden_size", None, "blocker"), ("num_hidden_layers", 0, "blocker"),
        ("vocab_size", 2.5, "blocker"), ("num_key_value_heads", None, None), ("hidden_act", "x", "blocker"),
        ("torch_dtype", "float23", "blocker"), ("torch_dtype", "torch.bfloat16", None), ("dtype", 3, "warning"),
        ("torch_dtype", "auto", "blocker"), ("torch_dtype", "int8", "warning"),
        ("rope_scaling", "x", "blocker"), ("rope_theta", None, "blocker"), ("rope_theta", 10000, None),
        ("quantization_config", {}, "blocker"), ("rope_scaling", {"type": "nope", "factor": 2.0}, "blocker"),
        ("rope_scaling", {"rope_type": "llama3", "factor": 8.0}, "blocker"), ("rope_scaling", None, None),
        ("rope_scaling", {"type": "dynamic", "factor": 2.0}, None), ("initializer_range", 0, "warning"),
        ("attention_bias", 1, "warning"), ("attention_dropout", 0, None), ("eos_token_id", [1, 2], None),
        ("use_cache", "yes", "warning"),
    ],
)  # fmt: skip
def test_values_of_a_config(field: str, value: object, severity: str | None, tmp_path: Path) -> None:
    """Each was loaded with transformers 5.24.0: see `benchmarks/check_base.py`."""
    found = said(tmp_path, _SHAPES, {**llama_config(), field: value}).get("corrupt-header")
    assert (found and found.severity) == severity
    assert found is None or f"`{field}`" in found.message


@pytest.mark.parametrize("value", [None, 0, False])
def test_what_is_false_to_python_turns_no_switch(value: object, tmp_path: Path) -> None:
    found = said(tmp_path, _SHAPES, {**llama_config(), "attention_bias": value})
    assert "model-tensors-missing" not in found


def test_numbers_that_are_no_floats_are_a_warning(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", _SHAPES, dtype="I32")
    found = {one.code: one for one in check(base).findings}["architecture-drift"]
    assert (found.severity, "stored as I32" in found.message) == ("warning", True)


def test_types_of_values_are_checked_from_a_release_on(tmp_path: Path) -> None:
    for release, severity in (("5.3.0", None), ("5.4.0", "blocker")):
        (tmp_path / release).mkdir()
        config = {**llama_config(), "use_cache": "yes"}
        found = said(tmp_path / release, _SHAPES, config, transformers=release).get("corrupt-header")
        assert (found and found.severity) == severity


@pytest.mark.parametrize("config", [{"architecture": "resnet50"}, {"_class_name": "UNet2DConditionModel"}])
def test_configs_of_other_libraries_have_no_type(config: dict[str, str], tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", {"conv.weight": (3, 3)}, config)
    assert "corrupt-header" not in {one.code for one in check(base).findings}


def test_a_type_that_no_release_knows_is_a_warning(tmp_path: Path) -> None:
    found = said(tmp_path, _SHAPES, llama_config(model_type="of-tomorrow"))["config-needs-newer-transformers"]
    assert (found.severity, "`of-tomorrow`" in found.message) == ("warning", True)


def test_weights_of_another_name_are_not_loaded(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", _SHAPES)
    (base / "model.safetensors").rename(base / "weights.safetensors")
    found = {one.code: one for one in check(write_adapter(tmp_path / "a", lora_shapes(_SHAPES))).findings}
    assert "no name that transformers loads" in found["missing-shard"].message
    assert found["missing-shard"].fix[0].startswith("mv ")


def test_an_index_without_metadata_is_not_read(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", {})
    write_safetensors(base / "model-00001-of-00001.safetensors", _SHAPES)
    (base / "model.safetensors").unlink()
    index = {"weight_map": dict.fromkeys(_SHAPES, "model-00001-of-00001.safetensors")}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "has no `metadata`" in {one.code: one.message for one in check(base).findings}["corrupt-header"]


@pytest.mark.parametrize("kind", ["qwen3_next", "qwen3_5_text", "deepseek_v3", "lfm2"])
def test_nothing_is_said_of_types_whose_layers_differ(kind: str, tmp_path: Path) -> None:
    config = llama_config(model_type=kind, architectures=None, num_hidden_layers=9)
    assert not {"model-tensors-missing", "architecture-drift"} & said(tmp_path, _SHAPES, config).keys()


@pytest.mark.parametrize("field", ["num_experts", "num_local_experts"])
def test_experts_are_counted_by_either_name_of_their_number(field: str) -> None:
    found = described(llama_config(model_type="qwen3_moe") | {field: 5})
    assert found is not None
    names = [name for name in found.shapes if name.startswith("model.layers.0.mlp.experts.")]
    assert len(names) == 15


def test_layers_that_the_config_leaves_out_are_a_blocker_where_the_adapter_changes_them(tmp_path: Path) -> None:
    """peft then drops their tensors; a model alone is loaded without them."""
    base = write_model(tmp_path / "base", _SHAPES, llama_config(num_hidden_layers=1))
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(_SHAPES))
    found = {one.code: one.severity for one in check(adapter).findings}
    assert found["architecture-drift"] == "blocker"
    assert {one.code: one.severity for one in check(base).findings}["architecture-drift"] == "warning"
