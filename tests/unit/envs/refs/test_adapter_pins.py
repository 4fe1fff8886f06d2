"""The versions of an adapter: what was recorded, then what its fields demand, then nothing of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpin.envs.refs.adapter_pins import pins_of_adapter

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"],
    "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
}  # fmt: skip


def adapter(folder: Path, **fields: object) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **fields}))
    return folder


def test_recorded_versions_come_first(tmp_path: Path) -> None:
    adapter(tmp_path, eva_config=None)
    versions = {"torch": "2.5.1", "transformers": "4.46.3", "peft": "0.13.2", "numpy": "1.26.4"}
    distributions = [{"name": name, "version": version} for name, version in versions.items()]
    manifest = {"schema": 1, "kind": "envpin", "envpin_version": "0.1.0", "python": {"version": "3.10.14"},
                "distributions": distributions}  # fmt: skip
    (tmp_path / "envpin.json").write_text(json.dumps(manifest))
    found = pins_of_adapter(tmp_path)
    assert found is not None
    assert (found.basis, found.python) == ("recorded", "3.10.14")
    assert dict(found.pins) == {"torch": "2.5.1", "transformers": "4.46.3", "peft": "0.13.2"}


def test_fields_demand_the_peft_that_writes_them(tmp_path: Path) -> None:
    found = pins_of_adapter(adapter(tmp_path, eva_config=None, exclude_modules=None, corda_config=None))
    assert found is not None
    assert found.basis == "inferred"
    assert SpecifierSet(">=0.15").contains(found.pins["peft"])


def test_a_config_without_an_adapter_has_no_pins_of_its_own(tmp_path: Path) -> None:
    assert pins_of_adapter(tmp_path) is None
