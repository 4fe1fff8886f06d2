"""A scan that is shared out among processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.envs.store.store import Store
from envpin.scan.run import scan
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path


def test_two_processes_scan_what_one_scans(tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama_shapes())
    for at in range(150):
        adapter = write_adapter(tmp_path / f"a{at:03}", lora_shapes(llama_shapes()))
        if at % 10 == 0:
            (adapter / "adapter_model.safetensors").write_bytes(b"")
    store = Store(tmp_path.parent / "no-store")
    alone, together = scan(tmp_path, store=store, jobs=1), scan(tmp_path, store=store, jobs=2)
    assert alone.entries == together.entries
    assert len(alone.entries) == 151
    assert alone.bad == 15
