"""The values of two folders, compared byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.diagnose import contents
from envpin.diagnose.contents import compare_contents
from envpin.diagnose.diff import diff
from tests.support.checkpoints import llama_shapes, write_model

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def flip(folder: Path, tensor: str, at: int = -1) -> None:
    """Change one byte of a tensor."""
    found = open_checkpoint(folder).tensors[tensor]
    data = bytearray((folder / found.file).read_bytes())
    data[found.end + at if at < 0 else found.start + at] ^= 1
    (folder / found.file).write_bytes(data)


def test_compare_contents_sees_one_byte_through_other_shards(tmp_path: Path) -> None:
    first, second = write_model(tmp_path / "a", llama_shapes()), write_model(tmp_path / "b", llama_shapes(), shards=3)
    count = len(llama_shapes())
    same = compare_contents(open_checkpoint(first), open_checkpoint(second))
    assert (same.compared, same.different, same.not_compared) == (count, {}, None)
    flip(second, "model.layers.1.mlp.up_proj.weight")
    other = compare_contents(open_checkpoint(first), open_checkpoint(second))
    assert list(other.different) == ["model.layers.1.mlp.up_proj.weight"]
    assert other.compared == count


def test_diff_of_models_with_equal_configs_and_other_weights_is_a_difference(tmp_path: Path) -> None:
    first, second = write_model(tmp_path / "a", llama_shapes()), write_model(tmp_path / "b", llama_shapes())
    flip(second, "model.norm.weight", at=0)
    changes, not_compared = diff(first, second)
    assert [(one.section, one.what, one.note) for one in changes] == [("contents", "model.norm.weight", "other values")]
    assert changes[0].before != changes[0].after
    assert not_compared is None


def test_large_weights_are_sampled_and_said_not_to_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "UNASKED", 1000)
    first, second = write_model(tmp_path / "a", llama_shapes()), write_model(tmp_path / "b", llama_shapes())
    changes, not_compared = diff(first, second)
    assert changes == ()
    assert not_compared is not None
    assert "--contents" in not_compared
    assert diff(first, second, whole=True) == ((), None)
    flip(second, "lm_head.weight")  # the last byte of the file, which every sample holds
    assert [(one.section, one.what) for one in diff(first, second).changes] == [("contents", "model.safetensors")]


def test_values_that_cannot_be_read_are_not_called_equal(tmp_path: Path) -> None:
    first, second = write_model(tmp_path / "a", llama_shapes()), write_model(tmp_path / "b", llama_shapes())
    before, after = open_checkpoint(first), open_checkpoint(second)
    assert before.tensors
    assert after.tensors
    (second / "model.safetensors").unlink()
    found = compare_contents(before, after)
    assert (found.compared, found.different) == (0, {})
    assert found.not_compared is not None
    assert "cannot be read" in found.not_compared
