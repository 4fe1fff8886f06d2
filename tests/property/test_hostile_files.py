"""Hostile bytes: whatever stands in a header, an index, a config, a tokenizer or a log, the answer is an answer."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core.errors import InputError
from envpin.diagnose.check import check
from envpin.diagnose.logs.reader import diagnose_log
from envpin.diagnose.logs.signatures.signature import load_signatures
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model

scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["llama", "gptq", "model.safetensors", "../x", "F32", "BF16", "q_proj", "lm_head"])
)  # fmt: skip
KEYS = ("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "rope_scaling",
        "rope_parameters", "quantization_config", "quant_method", "auto_map", "torch_dtype", "tie_word_embeddings",
        "text_config", "r", "rank_pattern", "target_modules", "modules_to_save", "base_model_name_or_path", "peft_type",
        "revision", "eva_config", "do_sample", "temperature", "weight_map", "model", "vocab", "merges", "added_tokens",
        "added_tokens_decoder", "tokenizer_class", "dtype", "shape", "data_offsets", "__metadata__")  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), inner, max_size=5)
    ),
    max_leaves=14,
)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=12)
FILES = ("config.json", "generation_config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json",
         "added_tokens.json", "model.safetensors.index.json", "envpin-merge.json", "envpin.json")  # fmt: skip
TARGET = {"transformers": "4.43.1", "peft": "0.12.0", "torch": "2.4.0", "tokenizers": "0.19.1", "numpy": "1.26.4"}
often = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def try_check(path: Path, base: Path | None = None) -> None:
    with contextlib.suppress(InputError):
        report = check(path, base=base, target=TARGET)
        assert all(one.fix for one in report.findings)


@often
@given(st.dictionaries(st.sampled_from(FILES), objects, min_size=1, max_size=5))
def test_any_json_in_any_file(documents: dict[str, dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = write_model(Path(folder) / "base", llama_shapes(layers=1))
        adapter = write_adapter(Path(folder) / "adapter", lora_shapes(llama_shapes(layers=1)))
        for name, document in documents.items():
            for place in (base, adapter):
                (place / name).write_text(json.dumps(document), encoding="utf-8")
        try_check(adapter, base)
        try_check(base)


@often
@given(objects | values, st.binary(max_size=40))
def test_any_header(document: Any, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_adapter(Path(folder) / "adapter", {})
        text = json.dumps({"t": document} if not isinstance(document, dict) else document).encode()
        (path / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
        (path / "tokenizer.model").write_bytes(data)
        try_check(path)


@often
@given(st.binary(max_size=200))
def test_any_bytes_as_weights_and_tokenizer(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_adapter(Path(folder) / "adapter", {})
        for name in ("adapter_model.safetensors", "tokenizer.json", "spiece.model", "adapter_config.json"):
            (path / name).write_bytes(data)
        try_check(path)


@often
@given(
    st.lists(
        st.sampled_from([one.sample for one in load_signatures()] + [one.anchor for one in load_signatures()])
        | st.text(max_size=40)
        | st.sampled_from(["\x1b[31m", "\x1b]8;;", "\r", "\r\n", "\x00", "torch.Size([", "size mismatch for "]),
        max_size=30,
    )
)
def test_any_log(parts: list[str]) -> None:
    diagnose_log(io.BytesIO("\n".join(parts).encode("utf-8", "surrogatepass")))
    diagnose_log(io.BytesIO("".join(parts).encode("utf-8", "surrogatepass")))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a": 1' + "0" * 10_000 + "}",
        '"\\ud800"',
        "",
    ],
    ids=["NaN", "duplicate", "deep list", "deep object", "long number", "surrogate", "empty"],
)
def test_json_that_breaks_readers(tmp_path: Path, text: str) -> None:
    path = write_adapter(tmp_path / "adapter", {})
    data = text.encode("utf-8", "surrogatepass")
    (path / "adapter_model.safetensors").write_bytes(len(data).to_bytes(8, "little") + data)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json"):
        (path / name).write_bytes(data)
    assert "corrupt-header" in [one.code for one in check(path).findings]


def test_a_long_line_of_one_signature_costs_no_more_than_a_block() -> None:
    data = b"size mismatch for " * 300_000
    assert diagnose_log(io.BytesIO(data)).findings == ()


def test_a_regular_expression_of_a_stranger_is_not_run(tmp_path: Path) -> None:
    shapes = lora_shapes(llama_shapes())
    path = write_adapter(tmp_path / "adapter", shapes, rank_pattern={"(a|aa)+$" * 20: 4, "q_proj": 8})
    assert open_checkpoint(path).faults == ()
    assert "rank-mismatch" not in [one.code for one in check(path).findings]


def test_two_eras_of_vision_language_names(tmp_path: Path) -> None:
    config = llama_config(model_type="qwen2_vl", vision_config={})
    base = write_model(tmp_path / "base", llama_shapes(), config)
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))

    def severity(**target: str) -> str | None:
        report = check(adapter, base=base, target=target)
        return next((one.severity for one in report.findings if one.code == "vlm-key-rename"), None)

    assert severity() == "warning"
    assert severity(transformers="4.51.3", peft="0.15.2") is None
    assert severity(transformers="4.52.4", peft="0.15.2") == "blocker"
    assert severity(transformers="4.53.0", peft="0.16.0") == "warning"
    assert severity(transformers="5.23.0", peft="0.21.2") == "blocker"


def test_two_eras_of_experts(tmp_path: Path) -> None:
    shapes: dict[str, tuple[int, ...]] = {
        f"model.layers.{layer}.mlp.experts.{expert}.{part}.weight": (64, 32) if part == "down_proj" else (32, 64)
        for layer in range(2)
        for expert in range(4)
        for part in ("gate_proj", "up_proj", "down_proj")
    }
    base = write_model(tmp_path / "base", shapes, llama_config(model_type="qwen3_moe"))

    def severity(*parts: str, family: str = "qwen3_moe", **target: str) -> str | None:
        adapter = write_adapter(tmp_path / "adapter", lora_shapes(shapes, parts), target_modules=list(parts))
        (base / "config.json").write_text(json.dumps(llama_config(model_type=family)))
        report = check(adapter, base=base, target=target)
        return next((one.severity for one in report.findings if one.code == "moe-layout"), None)

    every = ("gate_proj", "up_proj", "down_proj")
    assert severity(*every, transformers="4.57.1", peft="0.18.0") is None
    assert severity(*every, transformers="5.0.0", peft="0.18.1") == "blocker"
    # as tried with peft 0.21.2 in tests/integration/test_real_faults.py
    assert severity(*every, transformers="5.5.0", peft="0.19.1") == "info"
    assert severity("down_proj", transformers="5.5.0", peft="0.19.1") == "info"
    assert severity("gate_proj", "up_proj", transformers="5.5.0", peft="0.19.1") == "blocker"
    assert severity("gate_proj", "down_proj", transformers="5.5.0", peft="0.19.1") == "blocker"
    assert severity(*every, family="qwen2_moe", transformers="5.5.0", peft="0.19.1") == "blocker"


def test_a_base_that_is_this_adapters_merge(tmp_path: Path) -> None:
    import hashlib

    base = write_model(tmp_path / "base", llama_shapes())
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    digest = hashlib.sha256((adapter / "adapter_model.safetensors").read_bytes()).hexdigest()
    record = {"schema": 1, "adapter": {"path": "a", "files": {"adapter_model.safetensors": digest}}}
    (base / "envpin-merge.json").write_text(json.dumps(record))
    assert "adapter-already-merged" in [one.code for one in check(adapter, base=base).blockers]


def test_a_base_that_changed_since_training(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", llama_shapes())
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    manifest = {"schema": 1, "base": {"embedding_rows": 300, "model_type": "llama"}}
    (adapter / "envpin.json").write_text(json.dumps(manifest))
    assert "base-changed-since-training" in [one.code for one in check(adapter, base=base).blockers]


def test_shapes_from_a_config_alone(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps(llama_config(hidden_size=128, num_attention_heads=8)))
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    report = check(adapter, base=base)
    assert report.expected_from == "config"
    assert [one.code for one in report.blockers] == ["wrong-base-hidden-size"]


@pytest.mark.parametrize("value", [[], {}, 1, None, True], ids=repr)
def test_a_model_type_that_is_no_text(tmp_path: Path, value: Any) -> None:
    base = write_model(tmp_path / "base", llama_shapes(), llama_config(model_type=value))
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    assert not check(adapter, base=base, target=TARGET).blockers
