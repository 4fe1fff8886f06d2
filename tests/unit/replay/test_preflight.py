"""What `check` finds, in the light of what a merge needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.bases import FoundBase
from envpin.checkpoint.checkpoint import open_checkpoint
from envpin.core.errors import UsageError
from envpin.envs.locks.portable import LockRequest
from envpin.replay.adapters import WeightedAdapter
from envpin.replay.environment import with_packages
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


@pytest.mark.parametrize(
    ("config", "more", "said"),
    [
        ({"peft_type": "ADAMSS"}, {}, r"no scikit-learn, which peft needs to load `.*` \(ADAMSS\)"),
        ({"peft_type": "ADAMSS"}, {"scikit-learn": "1.5.1"}, None),
        ({"peft_type": "LORA", "init_lora_weights": "loftq"}, {}, "no bitsandbytes, which"),
        ({"peft_type": "LORA", "init_lora_weights": "loftq"}, {"peft": "0.18.1"}, "no bitsandbytes and no scipy"),
        ({"peft_type": "LORA"}, {}, None),
    ],
)
def test_an_environment_without_what_the_method_needs_is_refused_before_it_is_built(
    config: dict[str, str], more: dict[str, str], said: str | None, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    given = [open_checkpoint(tmp_path)]
    if said is None:
        refuse_incomplete("these", WHOLE | more, given)
        return
    with pytest.raises(UsageError, match=said) as refused:
        refuse_incomplete("these", WHOLE | more, given)
    assert "--environment" in str(refused.value.hint)


def test_an_environment_that_is_chosen_gets_what_the_method_needs() -> None:
    request = LockRequest(name="x", requirements=("peft==0.21.2", "torch"), python="3.11")
    assert with_packages(request, ("scikit-learn",)).requirements == ("peft==0.21.2", "torch", "scikit-learn")
    assert with_packages(request, ("torch",)) is request
    assert with_packages(request, ()) is request
