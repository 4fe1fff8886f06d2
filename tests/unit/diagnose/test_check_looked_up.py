"""Names by which peft does not find an adapter's tensors, and modules that its config does not choose.

What peft 0.21.2 does with each: `benchmarks/check_peft.py`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from envpin.diagnose.check import check
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.findings import Finding

_PLAIN = lora_shapes(llama_shapes())
_SHAPES = dict[str, tuple[int, ...]]


def found(tmp_path: Path, tensors: _SHAPES, **config: Any) -> dict[str, Finding]:
    """Every finding but that these files of holes hold only zeros."""
    write_model(tmp_path / "base", llama_shapes())
    folder = write_adapter(tmp_path / "adapter", tensors, **config)
    return {one.code: one for one in check(folder).findings if one.code != "adapter-is-noop"}


def renamed(old: str, new: str) -> _SHAPES:
    return {name.replace(old, new): shape for name, shape in _PLAIN.items()}


def test_the_adapter_as_it_was_written_has_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, _PLAIN) == {}


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("base_model.model.model.", "base_model.model.", "unmatched-adapter-keys"),
        ("base_model.model.model.", "base_model.model.model.model.", "unmatched-adapter-keys"),
        ("model.model.layers", "model.model.language_model.layers", "unmatched-adapter-keys"),
        ("model.model.layers", "model.language_model.model.layers", "unmatched-adapter-keys"),
        ("base_model.model.", "", "tensors-not-of-method"),
        ("lora_A", "lora_down", "tensors-not-of-method"),
        ("lora_B", "lora_up", "tensors-not-of-method"),
        ("lora_A.weight", "lora_A", "tensors-not-of-method"),
    ],
)
def test_a_name_that_peft_does_not_look_up_is_a_blocker(old: str, new: str, code: str, tmp_path: Path) -> None:
    one = found(tmp_path, renamed(old, new))[code]
    assert one.severity == "blocker"
    assert one.fix


def test_a_name_without_the_head_is_right_for_the_model_without_it(tmp_path: Path) -> None:
    headless = renamed("base_model.model.model.", "base_model.model.")
    assert found(tmp_path, headless, task_type="FEATURE_EXTRACTION") == {}


@pytest.mark.parametrize(
    ("part", "codes"),
    [
        ({"audio_config": {"d_model": 8}}, set()), ({"encoder": {"model_type": "bert"}}, set()),
        ({"quantization_config": {"bits": 4}}, {"unmatched-adapter-keys"}),
        ({"rope_scaling": {"factor": 2.0}}, {"unmatched-adapter-keys"}),
    ],
)  # fmt: skip
def test_models_of_several_are_called_otherwise_by_other_releases(
    part: dict[str, Any], codes: set[str], tmp_path: Path
) -> None:
    write_model(tmp_path / "base", llama_shapes(), llama_config() | part)
    folder = write_adapter(tmp_path / "adapter", renamed("base_model.model.model.", "base_model.model.model.model."))
    assert {one.code for one in check(folder).findings if one.code == "unmatched-adapter-keys"} == codes


def test_the_prefix_of_a_class_may_be_missing_in_the_files(tmp_path: Path) -> None:
    """GPT-2's checkpoint has `h.0.attn.c_attn`, its class `transformer.h.0.attn.c_attn`."""
    shapes = {"wte.weight": (300, 64), "h.0.attn.c_attn.weight": (64, 192)}
    write_model(tmp_path / "base", shapes, {"model_type": "gpt2"})
    at = "base_model.model.transformer.h.0.attn.c_attn"
    folder = write_adapter(
        tmp_path / "adapter", {f"{at}.lora_A.weight": (8, 64), f"{at}.lora_B.weight": (192, 8)},
        target_modules=["c_attn"],
    )  # fmt: skip
    assert "unmatched-adapter-keys" not in {one.code for one in check(folder, base=tmp_path / "base").findings}


@pytest.mark.parametrize(
    ("kind", "part", "right", "wide"),
    [
        ("IA3", "ia3_l", (64, 1), (96, 1)),
        ("LOHA", "hada_w1_a", (64, 8), (96, 8)),
        ("LOHA", "hada_w1_b", (8, 64), (8, 96)),
        ("VERA", "vera_lambda_b", (64,), (96,)),
        ("HRA", "hra_u", (64, 8), (96, 8)),
        ("OFT", "oft_R.weight", (8, 28), (12, 28)),
        ("LOKR", "lokr_w1", (8, 8), (8, 12)),
        ("LOKR", "lokr_w2_a", (8, 8), (12, 8)),
        ("LOKR", "lokr_w2_b", (8, 8), (8, 12)),
        ("SHIRA", "shira_weight", (1024,), (1536,)),
        ("ROAD", "road_theta", (32,), (48,)),
    ],
)
def test_tensors_of_other_methods_are_held_against_the_base(
    kind: str, part: str, right: tuple[int, ...], wide: tuple[int, ...], tmp_path: Path
) -> None:
    """Their modules and widths; q_proj of the base is 64 x 64."""
    config: dict[str, Any] = {"peft_type": kind, "target_modules": ["q_proj"], "oft_block_size": 8, "r": 8}

    def of(module: str, shape: tuple[int, ...]) -> dict[str, Finding]:
        at = [f"base_model.model.model.layers.{layer}.self_attn.{module}.{part}" for layer in range(2)]
        return found(tmp_path, dict.fromkeys(at, shape), **config)

    assert not [one for one in of("q_proj", right).values() if one.severity == "blocker"]
    assert "wrong-base-hidden-size" in of("q_proj", wide)
    assert "wrong-base-architecture" in of("qkv_proj", right)


@pytest.mark.parametrize(
    ("kind", "part"), [("LOHA", "hada_w1_b"), ("HRA", "hra_u"), ("OFT", "oft_R.weight"), ("LORA", "lora_A.weight")]
)
def test_a_tensor_with_too_few_axes_is_a_blocker(kind: str, part: str, tmp_path: Path) -> None:
    at = "base_model.model.model.layers.0.self_attn.q_proj."
    config: dict[str, Any] = {"peft_type": kind, "target_modules": ["q_proj"], "oft_block_size": 8, "r": 8}
    assert any(one.severity == "blocker" for one in found(tmp_path, {at + part: (512,)}, **config).values())


def test_fewer_heads_of_keys_are_no_swapped_sides(tmp_path: Path) -> None:
    """`v_proj` of the base is 32 x 64, the adapter's 64 x 64: its `lora_A` fits, so nothing is swapped."""
    wide = {name: (64, shape[1]) if "v_proj.lora_B" in name else shape for name, shape in _PLAIN.items()}
    one = found(tmp_path, wide)["wrong-base-hidden-size"]
    assert "key/value heads" in one.message


@pytest.mark.parametrize("pattern", ["q_proj|v_proj", "x", r"layers\.\d+\.self_attn\.(q|v)_proj"])
def test_a_pattern_that_matches_no_whole_name_is_a_blocker(pattern: str, tmp_path: Path) -> None:
    assert "whole names" in found(tmp_path, _PLAIN, target_modules=pattern)["tensors-not-of-method"].message


@pytest.mark.parametrize(
    "pattern", [r".*\.(q_proj|v_proj)", r"model\.layers\.\d+\.self_attn\.(q|v)_proj", "all-linear", r"(.*)+\.q_proj"]
)
def test_a_pattern_that_matches_or_that_may_take_long_says_nothing(pattern: str, tmp_path: Path) -> None:
    assert "tensors-not-of-method" not in found(tmp_path, _PLAIN, target_modules=pattern)


def test_targets_that_are_not_set_are_not_compared(tmp_path: Path) -> None:
    one = found(tmp_path, _PLAIN, target_modules=None)["tensors-not-of-method"]
    assert one.severity == "warning"
    assert "was not compared" in one.message


def test_a_pair_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    some = {name: shape for name, shape in _PLAIN.items() if "layers.1.self_attn.q_proj" not in name}
    one = found(tmp_path, some)["adapter-tensors-missing"]
    assert one.severity == "warning"
    assert "`model.layers.1.self_attn.q_proj`" in one.message


@pytest.mark.parametrize(
    ("config", "release"),
    [
        ({"task_type": "causal_lm"}, "0.14.0"), ({"task_type": ["CAUSAL_LM"]}, "0.14.0"),
        ({"layers_pattern": "layers"}, "0.14.0"), ({"enable_lora": [True, False]}, "0.3.0"),
    ],
)  # fmt: skip
def test_what_newer_releases_refuse_names_the_first_of_them(
    config: dict[str, Any], release: str, tmp_path: Path
) -> None:
    one = found(tmp_path, _PLAIN, **config)["adapter-needs-older-peft"]
    assert one.severity == "warning"
    assert f"peft {release} and newer" in one.message


@pytest.mark.parametrize(("peft", "codes"), [("0.13.2", set()), ("0.14.0", {"adapter-needs-older-peft"})])
def test_the_peft_that_shall_load_it_decides(peft: str, codes: set[str], tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama_shapes())
    folder = write_adapter(tmp_path / "adapter", _PLAIN, task_type="causal_lm")
    findings = check(folder, target={"peft": peft}).findings
    assert {one.code for one in findings if one.severity == "blocker"} == codes


def test_adalora_without_its_steps_needs_an_older_peft(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", _PLAIN, peft_type="ADALORA", init_r=8)
    assert "peft 0.15.0 and newer" in json.dumps([one.message for one in check(adapter).findings])


def test_an_unknown_way_to_begin_may_be_of_a_newer_peft(tmp_path: Path) -> None:
    assert found(tmp_path, _PLAIN, init_lora_weights="unheard")["adapter-needs-newer-peft"].severity == "blocker"


@pytest.mark.parametrize(
    ("stored", "named", "type_of_base"),
    [
        ("bert.encoder", "encoder", "bert"),  # AutoModel of a masked language model's files: peft finds the module
        ("encoder", "bert.encoder", "bert"),
        ("roberta.encoder", "encoder", "xlm-roberta"),
        ("deberta.encoder", "encoder", "deberta-v2"),
    ],
)
def test_the_model_inside_a_heads_class_is_the_model_alone(
    stored: str, named: str, type_of_base: str, tmp_path: Path
) -> None:
    at = "layer.0.attention.self.query"
    write_model(tmp_path / "base", {f"{stored}.{at}.weight": (64, 64)}, {"model_type": type_of_base})
    factors = {
        f"base_model.model.{named}.{at}.lora_A.weight": (8, 64),
        f"base_model.model.{named}.{at}.lora_B.weight": (64, 8),
    }
    folder = write_adapter(tmp_path / "adapter", factors, target_modules=["query"], task_type="FEATURE_EXTRACTION")
    report = check(folder)
    assert report.compared is True
    assert [one.code for one in report.findings if one.severity == "blocker"] == []


def test_factors_of_adalora_have_no_leaf(tmp_path: Path) -> None:
    bare = {name.removesuffix(".weight"): shape for name, shape in _PLAIN.items()}
    singular = {name[:-1] + "E": (8, 1) for name in bare if name.endswith("lora_A")}
    assert "tensors-not-of-method" in found(tmp_path / "lora", bare)
    assert "tensors-not-of-method" not in found(tmp_path / "adalora", {**bare, **singular}, peft_type="ADALORA")


@pytest.mark.parametrize("part", ["lora_diag", "lora_velora_embed", "lora_monteclora_sampler.std_prior"])
def test_what_a_variant_of_lora_saves_next_to_its_factors_is_read(part: str, tmp_path: Path) -> None:
    more: _SHAPES = {name.replace("lora_A.weight", part): (8,) for name in _PLAIN if name.endswith("lora_A.weight")}
    assert not {"tensors-not-of-method", "extra-adapter-tensors"} & found(tmp_path, {**_PLAIN, **more}).keys()
