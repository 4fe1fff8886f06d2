"""What a run read, looked at before it is repeated: another byte of the base or of a data file is named."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from envpin.manifest.training import CodeInfo, DataFile, DatasetInfo
from envpin.manifest.types import BaseModel
from envpin.replay.training.inputs import changed_inputs
from tests.support.training_runs import manifest

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.manifest.types import Manifest

HELD = {"base/model.safetensors": b"weights", "rows.jsonl": b"rows"}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def working(tmp_path: Path) -> Path:
    """The directory of a repeat, with what the run read in `/recorded`."""
    for name, data in HELD.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def recorded() -> Manifest:
    files = {
        "/recorded/rows.jsonl": DataFile(size=4, changed=1, sha256=digest(b"rows")),
        "/recorded/huge.jsonl": DataFile(size=4, changed=1),
        "hub://somebody/rows": DataFile(),
    }
    made = manifest(datasets=(DatasetInfo(name="json", files=files),))
    base = BaseModel(path="/recorded/base", files={"model.safetensors": digest(b"weights")})
    return replace(made, base=base, code=CodeInfo(script="/recorded/train.py", directory="/recorded"))


def test_inputs_of_a_run_that_are_as_they_were_are_not_named(working: Path) -> None:
    assert changed_inputs(recorded(), working) == ()


@pytest.mark.parametrize("name", sorted(HELD))
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_each_input_that_is_another_one_or_gone_is_named(working: Path, name: str, how: str) -> None:
    if how == "gone":
        (working / name).unlink()
    else:
        (working / name).write_bytes(b"other")
    (found,) = changed_inputs(recorded(), working)
    assert found == f"`/recorded/{name}` {'is gone' if how == 'gone' else 'has changed'}"


def test_a_base_of_the_hub_is_left_to_its_commit(working: Path) -> None:
    made = recorded()
    assert made.base is not None
    hub = replace(made.base, path="/recorded/gone", commit="c" * 40)
    assert changed_inputs(replace(made, base=hub), working) == ()
