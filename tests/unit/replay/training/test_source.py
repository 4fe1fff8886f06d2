"""The folder in which a run is repeated: nothing in it leads back to what the run wrote."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from envpin.manifest.training import CodeInfo, TrainingInfo
from envpin.manifest.types import BaseModel, RunInfo
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


def test_a_repeat_finds_what_the_run_read_next_to_its_directory(place: Path, tmp_path: Path) -> None:
    for name in ("base/model.safetensors", "base/merged/envpin.json", "conf/deep/a.yaml", "other/private.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    write_manifest(tmp_path / "base" / "merged" / "envpin.json", of(place))
    base, code = BaseModel(id="../base", path=str(tmp_path / "base")), CodeInfo(directory=str(place))
    run = RunInfo(id="r", argv=("python", "train.py", "--config=../conf/deep/a.yaml", "--out", "../runs/x"))
    recorded = replace(of(place), base=base, code=code, run=run)
    for source in (None, place):
        scratch = tmp_path / f"scratch-{source is None}"
        made = prepare_source(recorded, tmp_path / "runs" / "x", scratch, source=source)
        assert (made.working / ".." / "base" / "model.safetensors").read_text() == "base/model.safetensors"
        assert (made.working / "../conf/deep/a.yaml").read_text() == "conf/deep/a.yaml"
        beside = {path.name for path in made.working.parent.iterdir()}
        assert beside == {"project", "base", "conf"}  # neither what was not named, nor where it wrote
        assert not (made.working / "../base/merged").exists()  # the run saved it
        assert made.working.resolve().is_relative_to(made.root.resolve())


def test_code_that_was_found_by_a_path_is_found_where_it_was_made_again(place: Path, tmp_path: Path) -> None:
    for name in ("project/src/mine/step.py", "shared/also.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    paths = tuple(str(tmp_path / name) for name in ("project/src", "shared", "gone"))
    code = CodeInfo(directory=str(place), folder=str(place), path=paths)
    made = prepare_source(replace(of(place), code=code), place / "out", tmp_path / "scratch")
    assert made.path == (made.working / "src", made.working.parent / "shared")
    assert (made.working.parent / "shared" / "also.py").read_text() == "shared/also.py"


def test_an_output_next_to_the_directory_is_kept_and_stands_for_the_recorded_one(place: Path, tmp_path: Path) -> None:
    outputs = RecordedOutputs(of(place), tmp_path / "runs" / "x")
    root, out = tmp_path / "tree", tmp_path / "again"
    working, saved = root / "home" / "project", root / "home" / "runs" / "x"
    for folder in (working, saved, out):
        folder.mkdir(parents=True)
    (saved / "envpin.json").write_text("saved")
    assert outputs.collect([saved / "envpin.json"], working, root, out) == [out / "envpin.json"]
    assert outputs.place(out).resolve() == out.resolve()


def test_what_a_repeat_saved_below_its_directory_is_moved_to_its_output(place: Path, tmp_path: Path) -> None:
    outputs = RecordedOutputs(of(place), place / "out")
    root, out = tmp_path / "tree", tmp_path / "again"
    working = root / "home" / "project"
    for name in ("out", "out/second", "out-b", "../beside"):
        (working / name).mkdir(parents=True, exist_ok=True)
        (working / name / "envpin.json").write_text(name)
    out.mkdir()
    outputs.collect(list(root.rglob("envpin.json")), working, root, out)
    found = {str(path.relative_to(out)) for path in out.rglob("envpin.json")}
    assert found == {"envpin.json", "second/envpin.json", "elsewhere/out-b/envpin.json",
                     "elsewhere/home/beside/envpin.json"}  # fmt: skip
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
