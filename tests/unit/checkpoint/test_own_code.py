"""Whose classes load a model with an `auto_map`, as transformers 4.57.6 and 5.24.0 do it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.checkpoint.own_code import named_code, native_classes, runs_own_code
from envpin.diagnose.check import check
from envpin.inference.observe import observe

if TYPE_CHECKING:
    from pathlib import Path

CODE = {"AutoConfig": "configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.XForCausalLM"}
IN_A_REPOSITORY = {name: f"org/repo--{place}" for name, place in CODE.items()}


def model(folder: Path, kind: str, code: object, *files: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "auto_map": code}))
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    for name in files:
        (folder / name).write_text("")
    return folder


@pytest.mark.parametrize(
    ("kind", "code", "files", "own"),
    [
        ("llama", CODE, (), False), ("llama", CODE, ("configuration_x.py",), False),
        ("llama", CODE, ("configuration_x.py", "modeling_x.py"), True), ("llama", IN_A_REPOSITORY, (), True),
        ("strange_llama", CODE, (), True), ("llama", {}, (), False), ("llama", "x", (), False),
    ],
)  # fmt: skip
def test_native_classes_load_what_lost_its_code(
    tmp_path: Path, kind: str, code: object, files: tuple[str, ...], own: bool
) -> None:
    assert runs_own_code(open_checkpoint(model(tmp_path, kind, code, *files))) is own


def test_a_release_before_the_type_has_no_native_classes(tmp_path: Path) -> None:
    folder = open_checkpoint(model(tmp_path, "qwen3", CODE))
    assert named_code(folder).absent == ("configuration_x.py", "modeling_x.py")
    assert native_classes(folder, Version("4.57.6")) == "classes of `qwen3`"
    assert native_classes(folder, Version("4.44.2")) is None


@pytest.mark.parametrize(("kind", "severity"), [("llama", "warning"), ("strange_llama", "blocker")])
def test_check_stops_at_lost_code_only_where_transformers_has_no_class(
    tmp_path: Path, kind: str, severity: str
) -> None:
    found = check(model(tmp_path, kind, CODE)).findings
    (lost,) = (one for one in found if one.code == "remote-code-missing")
    assert lost.severity == severity
    assert ("trust_remote_code=True" in lost.message) is (severity == "warning")


@pytest.mark.parametrize(("name", "severity"), [("PreTrainedTokenizerFast", "warning"), ("XTokenizer", "blocker")])
def test_a_tokenizer_of_a_generic_class_needs_no_code(tmp_path: Path, name: str, severity: str) -> None:
    folder = model(tmp_path, "llama", {})
    (folder / "tokenizer.json").write_text('{"model": {"type": "WordLevel", "vocab": {"a": 0}}, "added_tokens": []}')
    config = {"tokenizer_class": name, "auto_map": {"AutoTokenizer": ["tokenization_x.XTokenizer", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    found = [one.severity for one in check(folder).findings if one.code == "remote-code-missing"]
    assert found == [severity]


def test_infer_bounds_by_the_type_of_a_base_that_lost_its_code(tmp_path: Path) -> None:
    base = model(tmp_path / "base", "qwen3", CODE)
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(base)})
    )
    assert observe(tmp_path, base=base).base_runs_code is False
    for name in ("configuration_x.py", "modeling_x.py"):
        (base / name).write_text("")
    assert observe(tmp_path, base=base).base_runs_code is True
