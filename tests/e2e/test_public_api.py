"""The functions of the Python API on a real adapter, in this process: each gives what its command gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import envpin
from tests.support.adapters import copy
from tests.support.environments import child_environment

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.events import Event


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {**child_environment(), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    return copy("plain", tmp_path)


def test_every_function_on_one_adapter(pair: Path, tmp_path: Path) -> None:
    adapter, base, out = pair / "adapter", pair / "base", tmp_path / "merged"
    assert envpin.check(adapter, base=str(base), offline=True).compared
    manifest = envpin.read_manifest(adapter)
    assert manifest.version_of("peft") == "0.12.0"
    assert envpin.infer(adapter, base=str(base), offline=True).candidates
    spec = envpin.resolve(str(adapter), offline=True)
    assert spec.lock.versions_of("peft") == ("0.12.0",)
    events: list[Event] = []
    made = envpin.plan(adapter, out, base=str(base), offline=True, listener=events.append)
    assert made.base.path == base
    assert not out.exists(), "a plan writes nothing"
    merged = envpin.replay_merge(adapter, out, base=str(base), offline=True, listener=events.append)
    assert merged.record.verdict.kind == "identical"
    assert (out / "envpin-merge.json").is_file()
    assert events
    proof = envpin.prove(base, adapter, out, offline=True)
    assert proof.proved
    assert proof.troubles == ()
    with pytest.raises(envpin.EnvpinError) as refused:
        envpin.replay_merge(adapter, out, base=str(base), offline=True)
    assert refused.value.exit_code == 5
