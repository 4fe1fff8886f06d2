"""Two folders or locks, and what is said to differ between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError
from envpin.diagnose.diff import diff
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path


def write_lock(path: Path, **versions: str) -> Path:
    entries = "\n".join(f'[[packages]]\nname = "{name}"\nversion = "{version}"' for name, version in versions.items())
    path.write_text(f'lock-version = "1.0"\ncreated-by = "test"\n{entries}\n')
    return path


def test_equal_folders_do_not_differ(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a", llama_shapes())
    assert diff(first, write_model(tmp_path / "b", llama_shapes(), shards=2)).changes == ()


def test_a_grown_adapter(tmp_path: Path) -> None:
    shapes = lora_shapes(llama_shapes())
    first = write_adapter(tmp_path / "a", shapes)
    grown = shapes | {"base_model.model.model.embed_tokens.weight": (321, 64)}
    changes, _ = diff(first, write_adapter(tmp_path / "b", grown, r=16, target_modules=["v_proj", "q_proj"]))
    assert [(one.section, one.what) for one in changes] == [
        ("config", "adapter_config.r"), ("tensors", "base_model.model.model.embed_tokens.weight"),
    ]  # fmt: skip


def test_quantization_and_what_matters_first(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a", llama_shapes())
    config = llama_config(vocab_size=321, transformers_version="5.0.0", quantization_config={"quant_method": "gptq"})
    changes, _ = diff(first, write_model(tmp_path / "b", llama_shapes(vocab=321), config))
    assert changes[0].what == "config.vocab_size"
    assert {"tensors", "quantization"} <= {one.section for one in changes}


def test_a_move_across_a_known_break_is_marked(tmp_path: Path) -> None:
    old = write_lock(tmp_path / "pylock.a.toml", transformers="4.42.4", numpy="1.26.4")
    new = write_lock(tmp_path / "pylock.b.toml", transformers="4.43.1", numpy="1.26.4")
    (change,) = diff(old, new).changes
    assert (change.what, change.before, change.after) == ("transformers", "4.42.4", "4.43.1")
    assert "crosses llama3-rope-scaling" in change.note


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        diff(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c.txt").write_text("")
    with pytest.raises(InputError, match="no folder"):
        diff(tmp_path / "c.txt", tmp_path / "c.txt")


def test_a_file_that_is_broken_on_one_side_is_a_difference(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a", llama_shapes())
    second = write_model(tmp_path / "b", llama_shapes())
    weights = second / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (change,) = diff(first, second).changes
    assert (change.section, change.what, change.before) == ("files", "model.safetensors", None)
    assert change.after is not None
