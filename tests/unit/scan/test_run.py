"""What a scan says of folders, and that nothing in one of them ends it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from envpin.cli.commands.scan import document_of
from envpin.envs.store.store import Store
from envpin.report.scan_page import render
from envpin.scan.entry import ScanEntry, Scanned, count_findings
from envpin.scan.run import scan
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path

LORA = lora_shapes(llama_shapes())


def scanned(root: Path, **options: Any) -> Scanned:
    return scan(root, store=Store(root.parent / "no-store"), **options)


def entries(root: Path) -> dict[str, ScanEntry]:
    return {entry.path: entry for entry in scanned(root).entries}


def test_the_worst_come_first_and_are_counted(tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama_shapes())
    write_adapter(tmp_path / "good", LORA)
    broken = write_adapter(tmp_path / "broken", LORA) / "adapter_model.safetensors"
    broken.write_bytes(broken.read_bytes()[:100])
    write_adapter(tmp_path / "lost", LORA, base="somebody/elses")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "trainer_state.json").write_text("{}")
    found = scanned(tmp_path)
    assert [entry.path for entry in found.entries][:3] == ["state", "broken", "lost"]
    assert found.bad == 2
    assert ("blocker", "truncated-file", 1) in count_findings(found.entries)
    assert ("warning", "base-not-found", 1) in count_findings(found.entries)


def test_scan_counts_apart_what_was_not_compared(tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama_shapes())
    write_adapter(tmp_path / "good", LORA)
    write_adapter(tmp_path / "lost", LORA, base="somebody/elses")
    found = scanned(tmp_path)
    told = {entry.path: entry.not_compared for entry in found.entries}
    assert told == {"good": None, "lost": "no base found", "base": None}
    assert (found.bad, found.not_compared) == (0, 1)
    assert document_of(found)["counts"]["not_compared"] == 1  # type: ignore[index]
    page = render(document_of(found))
    assert page.count("not compared: no base found") == 1


def test_a_base_is_told_with_where_it_was_found(tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama_shapes())
    write_adapter(tmp_path / "out" / "run", LORA)
    write_adapter(tmp_path / "out" / "run" / "checkpoint-5", LORA)
    found = entries(tmp_path)
    for path in ("out/run", "out/run/checkpoint-5"):
        base = found[path].base
        assert base is not None
        assert base.path == str(tmp_path / "base"), path
        assert base.found == f"named by the adapter, relative to `{tmp_path}`"
    assert found["out/run/checkpoint-5"].step == 5


def test_a_model_has_no_base_and_needs_no_environment_to_be_merged(tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama_shapes())
    (entry,) = scanned(tmp_path).entries
    assert (entry.kind, entry.base, entry.environment, entry.path) == ("model", None, "none", "base")


def test_a_damaged_manifest_is_told(tmp_path: Path) -> None:
    write_adapter(tmp_path / "one", LORA)
    (tmp_path / "one" / "envpin.json").write_text("{")
    assert entries(tmp_path)["one"].record == "damaged"


def test_a_fault_of_envpins_own_does_not_end_the_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_adapter(tmp_path / "one", LORA)
    write_adapter(tmp_path / "two", LORA)

    def fail(path: Path, **_: object) -> None:
        raise ZeroDivisionError(path.name)

    monkeypatch.setattr("envpin.scan.examine.check", fail)
    assert [entry.problem for entry in scanned(tmp_path).entries] == [
        "envpin failed on it: ZeroDivisionError: one",
        "envpin failed on it: ZeroDivisionError: two",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="has no pipes with a name")
def test_hostile_files_neither_hang_nor_lead_outside(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"model_type": "stolen"}))
    root = tmp_path / "root"
    pipe = write_adapter(root / "pipe", LORA)
    (pipe / "README.md").unlink(missing_ok=True)
    os.mkfifo(pipe / "README.md")
    os.mkfifo(pipe / "training_args.bin")
    outside = write_model(root / "outside", llama_shapes(), shards=2)
    index = outside / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../../secret.json", "y": "/etc/passwd"}}))
    deep = write_adapter(root / "deep", LORA)
    (deep / "adapter_config.json").write_text('{"a":' + "[" * 100_000)
    (write_adapter(root / "device", LORA) / "training_params.json").symlink_to("/dev/zero")
    control = write_adapter(root / "ad\x1b[2Japter", LORA, base="\x1b]0;owned\x07/../../..")
    found = entries(root)
    assert len(found) == 5
    assert {one.code for one in found["deep"].findings} >= {"corrupt-header"}
    assert {one.code for one in found["outside"].findings} >= {"corrupt-header"}
    assert found[control.name].base is not None


def test_the_config_alone_is_a_model_without_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(llama_config()))
    (entry,) = scanned(tmp_path).entries
    assert (entry.path, entry.kind) == (".", "model")


def test_the_page_escapes_what_strangers_wrote(tmp_path: Path) -> None:
    write_adapter(tmp_path / "one", LORA, base="<script>alert(1)</script>")
    page = render(document_of(scanned(tmp_path)))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert(1)" not in page
    assert "base-not-found" in page
