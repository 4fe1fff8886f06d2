"""AutoTrain for real: its own environment, its own command line, a CPU. Merged with its manifest and without it.

One short run of a tiny model. What longer runs of it leave is in tests/data/wild.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from envpin.core.events import Event, Note
from envpin.envs.refs.adapter import unrecorded_choices
from envpin.envs.store.store import Store
from envpin.inference.infer import infer
from envpin.manifest.read import read_manifest
from envpin.replay import attempts
from envpin.replay.attempts import Manner, merge_unrecorded
from envpin.replay.options import MergeOptions
from tests.support.command import answer, arguments, envpin
from tests.support.environments import TORCH, find_links, store_root
from tests.support.wild.make import install, prepare, train
from tests.support.wild.trainers import TRAINERS, Trainer

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.envs.refs.adapter import Unrecorded

pytestmark = pytest.mark.xdist_group("autotrain")
# An adapter of AutoTrain whose card names a torch that numpy 2 breaks.
OLD = "### Framework versions\n\n- PEFT 0.14.0\n- Transformers 4.47.1\n- Pytorch 2.0.1\n"


def short(trainer: Trainer) -> Trainer:
    """The same command for 6 steps."""
    command = list(trainer.command)
    for option, value in (("--epochs", "1"), ("--batch-size", "8")):
        command[command.index(option) + 1] = value
    return replace(trainer, command=tuple(command))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project folder of a recorded run whose chat template added tokens, so that the embeddings were resized."""
    environment = store_root() / "wild" / "autotrain"
    environment.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(environment.with_suffix(".lock")):
        if not (environment / "done").exists():
            shutil.rmtree(environment, ignore_errors=True)
            install(TRAINERS["autotrain"], environment)
            (environment / "done").touch()
    python = environment / "env" / "bin" / "python"
    folder = tmp_path_factory.mktemp("autotrain")
    prepare(python, folder)
    train(short(TRAINERS["autotrain-chat"]), python, folder, before=arguments("record", "--"))
    return folder / "autotrain-chat"


def forgotten(project: Path, to: Path) -> Path:
    """A copy of the adapter as people share it: without the record, the card and the trainer's copy of the data."""
    left_out = shutil.ignore_patterns("envpin.json", "README.md", "autotrain-data")
    return shutil.copytree(project, to, ignore=left_out)


def with_the_torch_of_the_tests(choice: Unrecorded) -> Unrecorded:
    """The torch of its time is a download of 3 GB; all else is as inferred."""
    pins = tuple(TORCH if one.startswith("torch==") else one for one in choice.request.requirements)
    return replace(choice, request=replace(choice.request, requirements=pins, exclude_newer=None))


def test_with_the_manifest_it_is_merged_in_the_recorded_environment(project: Path, tmp_path: Path) -> None:
    manifest = read_manifest(project)
    assert manifest.version_of("autotrain-advanced") == "0.8.36"
    assert [one.rows_after for one in manifest.resizes][-1:] != [256], "the vocabulary grew"
    record = answer("replay", "merge", project, "-o", tmp_path / "merged")["merge"]
    assert record["verdict"]["kind"] == "identical"
    assert record["verification"]["probe"]["ratio"] < 0.1
    proved = envpin("prove", project.parent / "base", project, tmp_path / "merged", "--json")
    assert proved.status == 0, proved.stdout


def test_without_the_manifest_it_is_merged_at_the_first_or_second_attempt(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = forgotten(project, tmp_path / "adapter")
    manifest = read_manifest(project)
    inferred = infer(adapter)
    assert manifest.version_of("peft") in inferred.ranges["peft"].versions
    assert manifest.version_of("transformers") in inferred.ranges["transformers"].versions

    monkeypatch.setattr(
        attempts,
        "unrecorded_choices",
        lambda *given, **options: tuple(map(with_the_torch_of_the_tests, unrecorded_choices(*given, **options))),
    )
    monkeypatch.setenv("UV_FIND_LINKS", ",".join(find_links()))
    seen: list[Event] = []
    merged = merge_unrecorded(
        adapter,
        out=tmp_path / "merged",
        store=Store(store_root()),
        options=MergeOptions(base=str(project.parent / "base")),
        manner=Manner(max_attempts=2),
        listener=seen.append,
    )
    assert merged.record.verdict.kind == "unrecorded"
    assert merged.record.verification["probe"]["ratio"] < 0.1
    assert merged.record.environment.packages["peft"] == manifest.version_of("peft")
    said = [event.message for event in seen if isinstance(event, Note)]
    assert sum("trying the next most likely environment" in one for one in said) <= 1


def test_a_torch_that_its_numpy_would_break_bounds_the_first_attempt(project: Path, tmp_path: Path) -> None:
    adapter = forgotten(project, tmp_path / "adapter")
    (adapter / "README.md").write_text(OLD)
    (adapter / "training_args.bin").unlink()  # written by a torch that is newer than the card says
    plan: dict[str, Any] = answer(
        "replay", "merge", adapter, "--base", project.parent / "base", "-o", tmp_path / "merged", "--dry-run"
    )["plan"]
    packages = plan["environment"]["packages"]
    assert [packages[name] for name in ("torch", "transformers", "peft")] == ["2.0.1", "4.47.1", "0.14.0"]
    assert packages["numpy"].startswith("1.")
    assert [one["code"] for one in plan["findings"] if one["severity"] == "blocker"] == []
    if os.environ.get("ENVPIN_TEST_ALL"):  # 3 GB
        record = json.loads(
            envpin("replay", "merge", adapter, "--base", project.parent / "base", "-o", tmp_path / "merged", "--json",
                   "--max-attempts", "1").stdout
        )["merge"]  # fmt: skip
        assert record["environment"]["packages"]["torch"] == "2.0.1"
        assert record["verification"]["probe"]["ratio"] < 0.1
