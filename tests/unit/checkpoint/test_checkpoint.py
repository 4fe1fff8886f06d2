"""Folders as data: what is read, and what each kind of damage is called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core.errors import InputError
from tests.support.checkpoints import (
    header_bytes,
    llama_shapes,
    lora_shapes,
    write_adapter,
    write_model,
    write_safetensors,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_sharded_model(tmp_path: Path) -> None:
    shapes = llama_shapes(vocab=321)
    folder = open_checkpoint(write_model(tmp_path / "m", shapes, shards=3))
    assert folder.kind == "model"
    assert {name: tensor.shape for name, tensor in folder.tensors.items()} == shapes
    assert (folder.embedding_rows, folder.head_rows, folder.faults) == (321, 321, ())
    assert len(folder.weight_files) == 3


def test_byte_ranges_are_positions_in_the_file(tmp_path: Path) -> None:
    write_model(tmp_path, {"a": (2, 3), "b": (4,)})
    folder = open_checkpoint(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert folder.tensors["b"].end == size
    assert folder.tensors["a"].end == folder.tensors["b"].start == size - 16


@pytest.mark.parametrize("spelling", ["embed_tokens.weight", "embed_tokens.modules_to_save.weight",
                                      "embed_tokens.base_layer.weight",
                                      "embed_tokens.token_adapter.base_layer.weight"])  # fmt: skip
def test_the_rows_that_an_adapter_carries(tmp_path: Path, spelling: str) -> None:
    shapes = lora_shapes(llama_shapes()) | {f"base_model.model.model.{spelling}": (321, 64)}
    folder = open_checkpoint(write_adapter(tmp_path, shapes))
    assert (folder.kind, folder.embedding_rows) == ("adapter", 321)


def test_a_lora_of_the_embedding_tells_its_rows(tmp_path: Path) -> None:
    shapes: dict[str, tuple[int, ...]] = {"base_model.model.model.embed_tokens.lora_embedding_A": (8, 321),
                                          "base_model.model.model.embed_tokens.lora_embedding_B": (64, 8)}  # fmt: skip
    assert open_checkpoint(write_adapter(tmp_path, shapes)).embedding_rows == 321


def cut(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 1)


def lengthen(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"\0")


def overlap(path: Path) -> None:
    text = (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    )
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0" * 4)


def replaced(content: bytes) -> Callable[[Path], None]:
    return lambda path: void(path.write_bytes(content))


def void(_: object) -> None:
    return None


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (cut, "truncated-file"),
    "lengthened": (lengthen, "truncated-file"),
    "empty": (replaced(b""), "truncated-file"),
    "four bytes": (replaced(b"\0\0\0\0"), "truncated-file"),
    "inside the header": (replaced(header_bytes({"a": (4,)})[0][:40]), "truncated-file"),
    "lfs": (replaced(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 4400216536\n"), "lfs-pointer"),
    "html": (replaced(b"\n<!DOCTYPE html><html><body>401</body></html>"), "html-instead-of-weights"),
    "huge length": (replaced(b"\xff" * 16), "corrupt-header"),
    "not json": (replaced((8).to_bytes(8, "little") + b"{nonsens"), "corrupt-header"),
    "a list": (replaced((2).to_bytes(8, "little") + b"[]"), "corrupt-header"),
    "overlap": (overlap, "corrupt-header"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_has_a_name(tmp_path: Path, name: str) -> None:
    write_model(tmp_path, llama_shapes())
    damage, code = DAMAGE[name]
    damage(tmp_path / "model.safetensors")
    assert [fault.code for fault in open_checkpoint(tmp_path).faults] == [code]


def test_an_index_may_not_leave_its_folder(tmp_path: Path) -> None:
    write_model(tmp_path / "m", llama_shapes(), shards=2)
    write_safetensors(tmp_path / "outside.safetensors", {"secret": (1,)})
    index = tmp_path / "m" / "model.safetensors.index.json"
    document = json.loads(index.read_text())
    document["weight_map"]["secret"] = "../outside.safetensors"
    index.write_text(json.dumps(document))
    folder = open_checkpoint(tmp_path / "m")
    assert "secret" not in folder.tensors
    assert [fault.code for fault in folder.faults] == ["corrupt-header"]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_model(tmp_path, llama_shapes(), shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    faults = open_checkpoint(tmp_path).faults
    assert [(fault.code, fault.file) for fault in faults] == [("missing-shard", "model-00002-of-00003.safetensors")]


def test_a_tensor_that_the_index_leaves_out_is_named(tmp_path: Path) -> None:
    shapes = {**llama_shapes(), "model.layers.0.self_attn.rotary_emb.inv_freq": (2,)}
    write_model(tmp_path, shapes, shards=2)
    index = tmp_path / "model.safetensors.index.json"
    document = json.loads(index.read_text())
    for name in ("model.norm.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"):
        del document["weight_map"][name]
    index.write_text(json.dumps(document))
    folder = open_checkpoint(tmp_path)
    (fault,) = folder.faults
    assert (fault.code, fault.file) == ("index-incomplete", index.name)
    assert "`model.norm.weight`" in fault.message
    assert "inv_freq" not in fault.message
    assert "model.norm.weight" in folder.tensors


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a model nor an adapter"):
        open_checkpoint(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_checkpoint(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        open_checkpoint(tmp_path / "file")
