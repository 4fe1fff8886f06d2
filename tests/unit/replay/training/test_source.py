"""The folder in which a run is repeated: nothing in it leads back to what the run wrote."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from envpin.manifest.training import CodeInfo, TrainingInfo
from envpin.manifest.types import RunInfo
from envpin.manifest.write import write_manifest
from envpin.replay.training.outputs import RecordedOutputs
from envpin.replay.training.source import prepare_source
from tests.support.training_runs import manifest

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.manifest.types import Manifest

LARGE = 5 * 1024 * 1024


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project whose run, without a trainer, saved `out` and `out-b`, and wrote `optimizer.pt`."""
    folder = tmp_path / "project"
    for name in ("data/deep/rows.txt", "train.py", "notes/log.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    for name, changed in (("data/large.bin", 1), ("optimizer.pt", 2**31)):
        with (folder / name).open("wb") as stream:
            stream.truncate(LARGE)
        os.utime(folder / name, (changed, changed))
    for name in ("out", "out-b"):
        (folder / name).mkdir()
        write_manifest(folder / name / "envpin.json", of(folder))
    return folder


def of(folder: Path) -> Manifest:
    run = RunInfo(id="r", started="2026-01-01T00:00:00Z", argv=("python", "train.py"))
    return replace(manifest(), run=run, training=None, code=CodeInfo(directory=str(folder)))


def test_a_repeat_gets_folders_of_its_own_and_nothing_that_the_run_wrote(place: Path, tmp_path: Path) -> None:
    made = prepare_source(of(place), place / "out", tmp_path / "scratch")
    assert made.left_out == ("optimizer.pt",)
    found = {str(path.relative_to(made.working)): path.is_symlink() for path in sorted(made.working.rglob("*"))}
    assert found == {
        "data": False, "data/deep": False, "data/deep/rows.txt": False, "data/large.bin": True, "notes": False,
        "notes/log.txt": False, "train.py": False,
    }  # fmt: skip


def test_a_folder_that_is_linked_on_the_way_to_the_output_is_made_anew(place: Path, tmp_path: Path) -> None:
    (place / "saves").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "one").mkdir(parents=True)
    (tmp_path / "disk" / "mine.txt").write_text("mine")
    made = prepare_source(of(place), place / "saves" / "one", tmp_path / "scratch")
    assert not (made.working / "saves").is_symlink()
    assert (made.working / "saves" / "mine.txt").read_text() == "mine"
    assert not (made.working / "saves" / "one").exists()


def test_what_a_repeat_saved_below_its_directory_is_moved_to_its_output(place: Path, tmp_path: Path) -> None:
    outputs = RecordedOutputs(of(place), place / "out")
    working, out = tmp_path / "working", tmp_path / "again"
    for name in ("out", "out/second", "out-b"):
        (working / name).mkdir(parents=True, exist_ok=True)
        (working / name / "envpin.json").write_text(name)
    out.mkdir()
    outputs.collect(list(working.rglob("envpin.json")), working, out)
    found = {str(path.relative_to(out)) for path in out.rglob("envpin.json")}
    assert found == {"envpin.json", "second/envpin.json", "elsewhere/out-b/envpin.json"}
    assert outputs.place(out) == out / "."


def test_a_repeat_starts_with_the_checkpoint_of_an_earlier_run_and_no_link_of_the_last_repeat(
    place: Path, tmp_path: Path
) -> None:
    (place / "saves" / "checkpoint-2").mkdir(parents=True)
    (place / "saves" / "checkpoint-2" / "optimizer.pt").write_text("state")
    training = TrainingInfo(output=str(place / "saves"), resumed_from="the last one", first_step=3)
    outputs = RecordedOutputs(replace(of(place), training=training), place / "saves")
    working, out = tmp_path / "working", tmp_path / "again"
    working.mkdir()
    for name in ("run", "again"):
        (out / name).mkdir(parents=True)
        outputs.prepare(working, out / name)
        assert (working / "saves").readlink() == out / name
        assert (working / "saves" / "checkpoint-2" / "optimizer.pt").read_text() == "state"
