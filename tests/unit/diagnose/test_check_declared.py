"""The config against the tensors: what peft would drop, leave at its first value, raise about or misread."""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any

import pytest

from envpin.diagnose.check import check
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model, write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.findings import Finding

_AT = "base_model.model.model.layers.0.self_attn"
_PLAIN = lora_shapes(llama_shapes())


def said(folder: Path) -> dict[str, Finding]:
    """Every finding but that these files of holes hold only zeros."""
    return {one.code: one for one in check(folder).findings if one.code != "adapter-is-noop"}


def adapter_of(tmp_path: Path, tensors: dict[str, tuple[int, ...]] | None = None, **config: Any) -> Path:
    write_model(tmp_path / "base", llama_shapes())
    return write_adapter(tmp_path / "adapter", _PLAIN if tensors is None else tensors, **config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lora_alpha", "x"), ("r", "8"), ("r", None), ("r", 8.0), ("lora_dropout", "0.05"), ("use_rslora", "false"),
        ("fan_in_fan_out", "True"), ("alpha_pattern", ["q_proj"]), ("bias", "some"), ("target_modules", 5),
        ("target_modules", []), ("target_modules", ["q_proj", 3]), ("target_modules", "(q_proj"), ("lora_alpha", None),
        ("lora_dropout", 2.5), ("rank_pattern", None), ("alpha_pattern", None), ("bias", None), ("bias", True),
        ("modules_to_save", "lm_head"), ("exclude_modules", 5), ("layers_to_transform", "0"), ("eva_config", "x"),
        ("layers_to_transform", True), ("target_parameters", "x"), ("init_lora_weights", 2.5), ("corda_config", []),
        ("trainable_token_indices", "x"),
    ],
)  # fmt: skip
def test_a_value_that_peft_refuses_or_misreads_is_a_blocker(name: str, value: object, tmp_path: Path) -> None:
    """Each raises in peft 0.12.0 and 0.21.2, but the strings for booleans, which Python takes for true."""
    config: dict[str, Any] = {name: value}
    found = said(adapter_of(tmp_path, **config))["corrupt-header"]
    assert found.severity == "blocker"
    assert found.message.startswith(f"`{name}` is {json.dumps(value)}")


def test_a_pattern_of_strings_names_its_key(tmp_path: Path) -> None:
    assert (
        "`rank_pattern.q_proj` is" in said(adapter_of(tmp_path, rank_pattern={"q_proj": "8"}))["corrupt-header"].message
    )


@pytest.mark.parametrize(
    "config",
    [
        {"lora_alpha": 16.0}, {"init_lora_weights": "gaussian"}, {"init_lora_weights": False}, {"loftq_config": None},
        {"target_modules": r".*\.(q_proj|v_proj)"}, {"bias": "lora_only"},
        {"rank_pattern": {"q_proj": 8}, "alpha_pattern": {"q_proj": 3.5}}, {"fan_in_fan_out": 1},
    ],
)  # fmt: skip
def test_values_that_peft_takes_are_no_finding(config: dict[str, Any], tmp_path: Path) -> None:
    assert said(adapter_of(tmp_path, **config)) == {}


@pytest.mark.parametrize(
    ("kind", "code"), [("FOO", "adapter-needs-newer-peft"), ("lora", "corrupt-header"), (3, "corrupt-header")]
)
def test_a_method_that_no_release_of_peft_has_is_a_blocker(kind: object, code: str, tmp_path: Path) -> None:
    assert said(adapter_of(tmp_path, peft_type=kind))[code].severity == "blocker"


def test_a_release_of_peft_that_was_not_read_may_have_the_method(tmp_path: Path) -> None:
    report = check(adapter_of(tmp_path, peft_type="FOO"), target={"peft": "99.0"})
    assert [one.severity for one in report.findings if one.code == "adapter-needs-newer-peft"] == ["warning"]


def _renamed(old: str, new: str) -> dict[str, tuple[int, ...]]:
    return {name.replace(old, new, 1): shape for name, shape in _PLAIN.items()}


@pytest.mark.parametrize(
    ("tensors", "config", "words"),
    [
        (_renamed("base_model.model.", ""), {}, "does not begin with `base_model.model.`"),
        (_renamed("base_model.", "base_model.model.base_model."), {}, "in front twice"),
        (_PLAIN | {f"{_AT}.q_proj.lora_magnitude_vector": (64,)}, {}, "`use_dora` is not set"),
        (_PLAIN | {f"{_AT}.q_proj.lora_B.bias": (64,)}, {}, "`lora_bias` is not set"),
        (_PLAIN | {"base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": (1, 64)}, {},
         "`trainable_token_indices` is not set"),
        (lora_shapes(llama_shapes(), ("q_proj", "k_proj", "v_proj")), {}, "`target_modules` leaves out"),
        (_PLAIN, {"exclude_modules": ["v_proj"]}, "`exclude_modules` leaves out"),
        (_PLAIN, {"layers_to_transform": [0]}, "`layers_to_transform` leaves out"),
    ],
)  # fmt: skip
def test_what_peft_would_drop_is_a_blocker(
    tensors: dict[str, tuple[int, ...]], config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    found = said(adapter_of(tmp_path, tensors, **config))["tensors-not-of-method"]
    assert found.severity == "blocker"
    assert words in found.message


def test_the_adapters_name_in_a_name_is_a_blocker_under_transformers_4(tmp_path: Path) -> None:
    """`state_dict()` saved as it is: peft 0.12.0 with transformers 4.43.1 drops all, 0.21.2 with 5.24.0 none."""
    adapter = adapter_of(tmp_path, _renamed(".weight", ".default.weight"))
    by_target = {
        target: next(one for one in check(adapter, target={"transformers": target}).findings
                     if one.code == "tensors-not-of-method").severity
        for target in ("4.43.1", "5.24.0")
    }  # fmt: skip
    assert by_target == {"4.43.1": "blocker", "5.24.0": "warning"}


@pytest.mark.parametrize(
    ("config", "severity"),
    [
        ({"use_dora": True}, "blocker"), ({"lora_bias": True}, "blocker"),
        ({"trainable_token_indices": [1]}, "blocker"),
        ({"modules_to_save": ["lm_head"]}, "blocker"), ({"target_modules": ["q_proj", "v_proj", "o_proj"]}, "warning"),
    ],
)  # fmt: skip
def test_what_the_config_promises_and_the_file_lacks_is_named(
    config: dict[str, Any], severity: str, tmp_path: Path
) -> None:
    found = said(adapter_of(tmp_path, **config))
    assert set(found) == {"adapter-tensors-missing"}
    assert found["adapter-tensors-missing"].severity == severity


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj", "v_proj", "out_proj"]},  # the base has none of that name
        {"modules_to_save": ["score"]},
        {"modules_to_save": []},
    ],
)
def test_names_that_the_base_has_not_are_no_finding(config: dict[str, Any], tmp_path: Path) -> None:
    assert said(adapter_of(tmp_path, **config)) == {}


def test_weights_without_their_config_are_a_blocker(tmp_path: Path) -> None:
    adapter = adapter_of(tmp_path)
    (adapter / "adapter_config.json").unlink()
    assert said(adapter)["missing-shard"].severity == "blocker"


def test_a_base_without_a_config_is_a_blocker_for_its_adapter(tmp_path: Path) -> None:
    adapter = adapter_of(tmp_path)
    (tmp_path / "base" / "config.json").unlink()
    assert said(adapter)["missing-shard"].severity == "blocker"
    assert said(tmp_path / "base")["missing-shard"].severity == "warning"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema":', '{"schema": 99}'])
def test_a_manifest_that_no_merge_can_read_is_a_blocker(text: str, tmp_path: Path) -> None:
    adapter = adapter_of(tmp_path)
    (adapter / "envpin.json").write_text(text, encoding="utf-8")
    found = said(adapter)["corrupt-header"]
    assert found.severity == "blocker"
    assert found.fix


def test_factors_in_two_files_are_not_cured_by_renaming_one(tmp_path: Path) -> None:
    adapter = adapter_of(tmp_path)
    (adapter / "adapter_model.safetensors").unlink()
    names = list(_PLAIN)
    for number, part in enumerate((names[:4], names[4:]), 1):
        file = adapter / f"adapter_model-0000{number}-of-00002.safetensors"
        write_safetensors(file, {name: _PLAIN[name] for name in part})
    assert [one for one in said(adapter)["missing-shard"].fix if one.startswith("mv ")] == []


def test_negative_zeros_change_nothing_either(tmp_path: Path) -> None:
    adapter = adapter_of(tmp_path)
    file = adapter / "adapter_model.safetensors"
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    file.write_bytes(data[:start] + struct.pack("<f", -0.0) * ((len(data) - start) // 4))
    assert "adapter-is-noop" in {one.code for one in check(adapter).findings}
    file.write_bytes(data[:start] + struct.pack("<f", -1e-30) * ((len(data) - start) // 4))
    assert "adapter-is-noop" not in {one.code for one in check(adapter).findings}


@pytest.mark.parametrize(
    ("trained", "held", "codes"),
    [
        ("lora_only", [], {"adapter-tensors-missing"}),
        ("all", [], {"adapter-tensors-missing"}),
        ("lora_only", ["q_proj.base_layer.bias"], set()),
        ("all", ["k_proj.bias"], set()),
        ("none", [], set()),
    ],
)
def test_trained_biases_that_peft_did_not_save_are_named(
    trained: str, held: list[str], codes: set[str], tmp_path: Path
) -> None:
    adapter = adapter_of(tmp_path, {**_PLAIN, **{f"{_AT}.{name}": (64,) for name in held}}, bias=trained)
    biases: dict[str, tuple[int, ...]] = {f"model.layers.0.self_attn.{one}_proj.bias": (64,) for one in "qk"}
    write_model(tmp_path / "base", {**llama_shapes(), **biases})
    found = said(adapter)
    assert {code for code in found if code == "adapter-tensors-missing"} == codes
    assert all(found[code].severity == "warning" for code in codes)


def test_a_base_without_biases_has_lost_none(tmp_path: Path) -> None:
    assert said(adapter_of(tmp_path, bias="lora_only")) == {}


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 3, -1])
def test_a_number_that_is_none_is_found_wherever_it_stands(dtype: str, number: float, at: int, tmp_path: Path) -> None:
    """Beside the largest number of the type, which is one."""
    largest = {"F16": 65504.0, "BF16": 3.38e38, "F32": 3.4e38, "F64": 1.7e308}[dtype]
    values = [largest, -largest, 0.0, 1e-7, 1.0]
    adapter = adapter_of(tmp_path)
    _write(adapter / "adapter_model.safetensors", values, dtype)
    assert "weights-not-finite" not in said(adapter)
    values[at] = number
    _write(adapter / "adapter_model.safetensors", values, dtype)
    assert said(adapter)["weights-not-finite"].severity == "blocker"


def _write(file: Path, values: list[float], dtype: str) -> None:
    """All factors of the usual adapter, with these values again and again."""
    write_safetensors(file, _PLAIN, dtype=dtype)
    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    packed = {
        "F16": lambda one: struct.pack("<e", one), "BF16": lambda one: struct.pack("<f", one)[2:],
        "F32": lambda one: struct.pack("<f", one), "F64": lambda one: struct.pack("<d", one),
    }[dtype]  # fmt: skip
    rows = b"".join(map(packed, values))
    size = len(data) - start
    file.write_bytes(data[:start] + (rows * (size // len(rows) + 1))[:size])


def test_a_config_without_a_rank_is_held_to_the_one_that_peft_takes(tmp_path: Path) -> None:
    adapter = adapter_of(tmp_path, lora_shapes(llama_shapes(), rank=4), r=4)
    config = json.loads((adapter / "adapter_config.json").read_text())
    del config["r"]
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    found = said(adapter)["rank-mismatch"]
    assert "has no `r`: peft takes 8" in found.message
    (adapter / "adapter_config.json").write_text("{")
    assert "rank-mismatch" not in said(adapter)


@pytest.mark.parametrize("has_bias", [True, False])
def test_a_bias_of_lora_b_needs_one_in_the_base(has_bias: bool, tmp_path: Path) -> None:
    """peft 0.14 to 0.21: `Impossible to merge LoRA with lora_bias=True because the base layer has no bias`."""
    factors = {f"{_AT}.q_proj.lora_{side}.weight": shape for side, shape in (("A", (8, 64)), ("B", (64, 8)))}
    adapter = adapter_of(tmp_path, {**factors, f"{_AT}.q_proj.lora_B.bias": (64,)}, lora_bias=True, r=8)
    if has_bias:
        write_model(tmp_path / "base", {**llama_shapes(), "model.layers.0.self_attn.q_proj.bias": (64,)})
    assert ("method-cannot-merge" in said(adapter)) != has_bias


@pytest.mark.parametrize(
    ("indices", "words"),
    [
        ([1, 2], None), ([1], "names 1 row, and the file has 2"), ([1, 100_000], "names row 100000"),
        ([1, -1], "names row -1"), ({"embed_tokens": [1, 2]}, None), ({"lm_head": [1, 2]}, "none of them"),
    ],
)  # fmt: skip
def test_indices_of_tokens_are_those_of_the_trained_rows(indices: object, words: str | None, tmp_path: Path) -> None:
    """Another count raises on loading, a row beyond the table in loading or merging (peft 0.21.2)."""
    rows = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
    adapter = adapter_of(tmp_path, {**_PLAIN, rows: (2, 64)}, trainable_token_indices=indices)
    found = said(adapter).get("adapter-tensors-missing")
    assert (found is None) == (words is None)
    assert words is None or (found is not None and words in found.message)


@pytest.mark.parametrize(("head", "severity"), [(320, None), (321, "blocker")])
def test_an_embedding_and_a_head_of_two_sizes_fit_no_model(head: int, severity: str | None, tmp_path: Path) -> None:
    tables = {"base_model.model.model.embed_tokens.weight": (320, 64), "base_model.model.lm_head.weight": (head, 64)}
    adapter = adapter_of(tmp_path, {**_PLAIN, **tables}, modules_to_save=["embed_tokens", "lm_head"])
    found = [one for one in check(adapter).findings if "its head" in one.message]
    assert [one.severity for one in found] == ([severity] if severity else [])
