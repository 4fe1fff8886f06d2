"""`check` on folders whose weights lie in another form, or are none: what is there is said, and what helps."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core.errors import InputError
from envpin.diagnose.check import check
from tests.support.checkpoints import header_bytes, llama_shapes, lora_shapes, write_adapter, write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.diagnose.subject import CheckReport

LORA = lora_shapes(llama_shapes())
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 902\n"


def codes(report: CheckReport) -> dict[str, str]:
    return {one.code: one.message for one in report.findings}


def test_a_lora_for_pictures_is_foreign_however_its_file_is_called(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(header_bytes({"lora_unet_mid_proj.lora_up.weight": (4, 8)}, "F32")[0])
    report = check(tmp_path)
    assert set(codes(report)) == {"foreign-format"}
    assert report.findings[0].fix[0].startswith(f"with diffusers: pipe.load_lora_weights({str(tmp_path)!r}")


def test_weights_of_no_known_name_are_not_compared(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "learned_embeds.safetensors", {"<cat>": (1, 8)})
    report = check(tmp_path)
    assert report.not_compared == "no file has a name that transformers or peft loads"


def test_tensors_of_peft_without_config_are_a_blocker(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "my_lora.safetensors", LORA)
    assert "holds an adapter's tensors" in codes(check(tmp_path))["missing-shard"]


def test_renamed_weights_are_found_and_the_fix_is_a_command(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a b", LORA)
    (folder / "adapter_model.safetensors").rename(folder / "my lora.safetensors")
    (found,) = (one for one in check(folder).blockers if one.code == "missing-shard")
    words = [str(folder / "my lora.safetensors"), str(folder / "adapter_model.safetensors")]
    assert shlex.split(found.fix[0]) == ["mv", *words]


@pytest.mark.parametrize(
    ("entry", "command"),
    [("pytorch_model_fsdp_0", "accelerate merge-weights"), ("global_step10", "zero_to_fp32.py")],
)
def test_shards_of_a_distributed_run_are_named(tmp_path: Path, entry: str, command: str) -> None:
    folder = write_adapter(tmp_path / "adapter", LORA)
    (folder / "adapter_model.safetensors").unlink()
    (folder / entry).mkdir()
    (found,) = (one for one in check(folder).blockers if one.code == "missing-shard")
    assert command in found.fix[0]


@pytest.mark.parametrize(
    ("name", "data", "code", "words"),
    [
        ("adapter_config.json", LFS, "lfs-pointer", "a git-lfs pointer"),
        ("tokenizer.json", LFS, "lfs-pointer", "a git-lfs pointer"),
        ("tokenizer_config.json", LFS, "lfs-pointer", "a git-lfs pointer"),
        ("adapter_config.json", b"<html>", "html-instead-of-weights", "a web page"),
        ("adapter_model.safetensors", b"Entry not found", "html-instead-of-weights", "`Entry not found`"),
        ("adapter_model.safetensors", b"/annex/objects/MD5E-s1--aa\n", "lfs-pointer", "a git-annex pointer"),
        ("adapter_config.json", b'{"error": "Repository not found"}', "corrupt-header", "`Repository not found`"),
    ],
)
def test_what_stands_in_place_of_a_file_is_named(tmp_path: Path, name: str, data: bytes, code: str, words: str) -> None:
    folder = write_adapter(tmp_path / "adapter", LORA)
    (folder / name).write_bytes(data)
    assert words in codes(check(folder))[code]


def test_a_run_names_its_checkpoints(tmp_path: Path) -> None:
    for name in ("checkpoint-500", "checkpoint-1000"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(InputError, match=r"below it `checkpoint-1000/`, `checkpoint-500/` hold one each") as raised:
        open_checkpoint(tmp_path)
    assert raised.value.hint == shlex.join(["envpin", "scan", str(tmp_path)])


@pytest.mark.parametrize("saved", [["classifier", "score"], None])
def test_a_module_that_peft_saves_by_the_end_of_its_name_is_not_extra(tmp_path: Path, saved: list[str] | None) -> None:
    """DistilBERT's `pre_classifier` ends in `classifier`; peft before 0.9 wrote null and added the heads on loading."""
    heads: dict[str, tuple[int, ...]] = {
        "base_model.model.pre_classifier.weight": (64, 64),
        "base_model.model.classifier.weight": (2, 64),
    }
    folder = write_adapter(tmp_path / "a", {**LORA, **heads}, modules_to_save=saved, task_type="SEQ_CLS")
    assert "extra-adapter-tensors" not in codes(check(folder))
    other: dict[str, tuple[int, ...]] = {"base_model.model.classifier_norm.weight": (64,)}
    folder = write_adapter(tmp_path / "b", {**LORA, **other}, modules_to_save=saved, task_type="SEQ_CLS")
    assert "extra-adapter-tensors" in codes(check(folder))
