"""Where NaN lies that a merge has met is found in the files, far behind what a check reads."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from envpin.checkpoint.bases import FoundBase
from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.replay.values import values_at, values_of
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path

Q = "model.layers.0.self_attn.q_proj.weight"


def break_last(folder: Path, file: str, tensor: str) -> None:
    held = open_checkpoint(folder).tensors[tensor]
    data = bytearray((folder / file).read_bytes())
    value = {"F32": struct.pack("<f", float("nan")), "BF16": b"\xc0\x7f", "F16": b"\x00\x7e"}[held.dtype]
    data[held.end - len(value) : held.end] = value
    (folder / file).write_bytes(data)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("base", "take the base's files again"), ("adapter", "take another checkpoint"),
        ("neither", "leaves the range of"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_finite_is_told_with_its_file(broken: str, said: str, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    base = write_model(tmp_path / "base", llama_shapes())
    if broken == "base":
        break_last(base, "model.safetensors", Q)
    elif broken == "adapter":
        names = open_checkpoint(adapter).adapter_tensors
        break_last(adapter, "adapter_model.safetensors", next(iter(names)))
    found = FoundBase(path=base, id=None, commit=None, found="given", checkpoint=open_checkpoint(base))
    plan: Any = SimpleNamespace(parts=[SimpleNamespace(path=adapter)], base=found)
    hint = values_at(plan, {"tensor": Q})
    assert said in str(hint)
    assert values_at(plan, {"tensors": [Q]}) == hint
    assert values_of(plan) == (hint if broken != "neither" else None)
