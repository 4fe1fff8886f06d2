"""What `check` finds, in the light of what a merge needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.bases import FoundBase
from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core.errors import UsageError
from envpin.replay.adapters import WeightedAdapter
from envpin.replay.preflight import preflight, refuse_incomplete
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.pickles import write_bin

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.findings import Finding


WHOLE = {"torch": "2.13.0", "transformers": "5.24.0", "peft": "0.21.2"}


def findings_of(adapter: Path, base: Path) -> list[Finding]:
    found = FoundBase(path=base, id=None, commit=None, found="given", checkpoint=open_checkpoint(base))
    of_all = preflight([WeightedAdapter(path=adapter).at(open_checkpoint(adapter))], found, {})
    return [one for one in of_all if one.code != "adapter-is-noop"]  # the files hold zeros


def test_a_base_in_a_pickle_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    """`check` reads its list of tensors and goes on; a merge would end behind all its work."""
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    base = write_model(tmp_path / "base", llama_shapes())
    (base / "model.safetensors").unlink()
    write_bin(base / "pytorch_model.bin", llama_shapes())
    (found,) = findings_of(adapter, base)
    assert (found.code, found.severity) == ("pickle-weights", "blocker")
    assert f"{base}/pytorch_model.bin" in found.message
    assert f"{base}/pytorch_model.bin {base}/model.safetensors" in found.fix[0]


def test_a_base_without_weights_stops_a_merge_though_its_config_tells_check_the_shapes(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    base = write_model(tmp_path / "base", llama_shapes())
    (base / "model.safetensors").unlink()
    assert ("missing-shard", "blocker") in [(one.code, one.severity) for one in findings_of(adapter, base)]


def test_a_pickle_next_to_safetensors_does_not_matter(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()))
    base = write_model(tmp_path / "base", llama_shapes())
    write_bin(base / "pytorch_model.bin", llama_shapes())
    assert findings_of(adapter, base) == []


@pytest.mark.parametrize(("left_out", "said"), [(["peft"], "no peft"), (["torch", "peft"], "no torch and no peft")])
def test_an_environment_that_cannot_merge_is_refused_before_it_is_built(left_out: list[str], said: str) -> None:
    held = {name: version for name, version in WHOLE.items() if name not in left_out}
    with pytest.raises(UsageError, match=said) as refused:
        refuse_incomplete("transformers==5.24.0", held)
    assert "--environment" in str(refused.value.hint)
    refuse_incomplete("these", WHOLE)
    refuse_incomplete(None, held)
