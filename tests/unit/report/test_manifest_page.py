"""The page of a manifest: what is absent says so, what is checkable is held against the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from envpin.manifest.types import Manifest, SavedInfo
from envpin.report.held import HeldField, hold
from envpin.report.manifest_page import render_manifest, sections
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.manifests import FULL

if TYPE_CHECKING:
    from pathlib import Path


def test_sections_say_what_was_not_recorded() -> None:
    values = {one.path: one.value for section in sections(Manifest(schema=1)) for one in section.fields}
    assert set(values.values()) == {"not recorded"}
    full = {one.path: one for section in sections(FULL) for one in section.fields}
    assert full["run.argv"].value == "python t.py"
    assert full["resizes"].value == "320 → 321 rows"
    assert (full["base.commit"].checkable, full["run.argv"].checkable) == (True, False)


def test_page_without_a_comparison_claims_none() -> None:
    text = render_manifest(FULL, place="adapter")
    assert "<strong>Not compared</strong>" in text
    assert "are what was recorded" not in text
    none = render_manifest(FULL, place="adapter", held=[HeldField("base weights", "not compared", "no base")])
    assert "Nothing could be compared" in none


def test_hold_sees_what_changed_and_says_what_it_did_not_compare(tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama_shapes())
    folder = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()), base="nobody/nowhere")
    from envpin.checkpoint.checkpoint import open_checkpoint
    from envpin.core.files import digest_of_file
    from envpin.manifest.types import TensorInfo

    read = open_checkpoint(folder)
    tensors = tuple(TensorInfo(name=one.name, shape=tuple(one.shape), dtype=one.dtype) for one in read.tensors.values())
    files = {name: digest_of_file(folder / name) for name in ("adapter_config.json", "adapter_model.safetensors")}
    saved = SavedInfo(
        kind="adapter", config=read.adapter_config, tensors=tensors, files={**files, "gone.json": "ab" * 32}
    )
    manifest = msgspec.structs.replace(FULL, saved=saved)
    before = {one.what: one.state for one in hold(manifest, folder)}
    assert before["saved.files.adapter_config.json"] == before["saved.config"] == before["saved.tensors"] == "equal"
    assert before["saved.files.gone.json"] == "missing"
    assert before["base weights"] == "not compared"
    (folder / "adapter_config.json").write_text('{"r": 99, "peft_type": "LORA"}')
    after = {one.what: one.state for one in hold(manifest, folder)}
    assert after["saved.files.adapter_config.json"] == after["saved.config"] == "differs"
    text = render_manifest(manifest, place="a", held=hold(manifest, folder))
    assert "fields are not what was recorded" in text


def test_nothing_in_a_manifest_is_markup() -> None:
    hostile = "<script>x</script>"
    manifest = msgspec.structs.replace(FULL, faults=(hostile,), envpin=hostile)
    assert "<script" not in render_manifest(manifest, place=hostile)
