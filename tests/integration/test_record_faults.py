"""Whatever fails inside the recorder, the training run ends as it would have without it, and the fault is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import recorded
from tests.support.environments import pinned
from tests.support.recorded import TINY
from tests.support.training.tiny import POINTS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("record-peft012")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


def test_a_fault_at_every_point_changes_nothing_and_is_told(place: Path) -> None:
    base = recorded.base("peft012", place)
    command: list[str | Path] = [pinned("peft012").python, TINY, "sabotage", base.name]
    plain = recorded.run([*command, "plain"], cwd=place, recorded=False)
    ran = recorded.run([*command, "recorded"], cwd=place, options=["--json"])
    assert plain.returncode == ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(plain.stdout)
    told = json.loads(ran.stdout[len(plain.stdout) :])
    for point in POINTS:
        assert any(f"({point})" in fault for fault in told["faults"]), f"{point} failed and nobody was told"
    assert "warning: while recording: " in ran.stderr
    assert recorded.contents(place / "recorded") == recorded.contents(place / "plain")
    leftovers = [path for path in (place / "recorded").rglob("*") if path.name.startswith(".envpin")]
    assert not leftovers


def test_a_manifest_that_cannot_be_written(place: Path) -> None:
    """Something stands where the manifest belongs, and cannot be replaced: a folder."""
    base = recorded.base("peft012", place)
    out = place / "occupied"
    (out / "envpin.json").mkdir(parents=True)
    ran = recorded.run(
        [pinned("peft012").python, TINY, "loop", base.name, out.name], cwd=place, env={"TINY_STATUS": "3"}
    )
    assert ran.returncode == 3
    assert (out / "adapter_model.safetensors").is_file()
    assert "warning: while recording: recording adapter default: " in ran.stderr
    assert "warning: nothing is recorded\n" in ran.stderr
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == []


SITE = """
import sys
print("the user's sitecustomize", __name__, [name for name in sys.path if "hook" in name])
if "_envpin_hook" in sys.modules:
    import _envpin_hook.imports
    def fail(*arguments):
        raise RuntimeError("wrapping is broken")
    _envpin_hook.imports._wrap = fail
"""


def test_the_users_own_sitecustomize_runs_and_broken_wrapping_is_told(place: Path) -> None:
    base = recorded.base("peft012", place)
    (place / "site").mkdir()
    (place / "site" / "sitecustomize.py").write_text(SITE)
    ran = recorded.run(
        [pinned("peft012").python, TINY, "loop", base.name, "unwrapped"],
        cwd=place, env={"PYTHONPATH": str(place / "site")},
    )  # fmt: skip
    assert ran.returncode == 0
    assert ran.stdout.startswith("the user's sitecustomize sitecustomize []\n")
    assert "wrapping transformers.modeling_utils: RuntimeError: wrapping is broken" in ran.stderr
    assert not (place / "unwrapped" / "envpin.json").exists()
    assert (place / "unwrapped" / "adapter_model.safetensors").is_file()
