"""AutoTrain for real: its own environment, its own command line, a CPU. Merged with its manifest and without it.

Three runs of a minute each, and 3 GB the first time: `make test-all`. What such runs leave is in tests/data/wild, and
every `make test` reads that.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from envpin.infer.inference import infer
from envpin.manifest.read import read_manifest
from tests.support.command import arguments, envpin
from tests.support.environments import store_root
from tests.support.wild.make import install, prepare, train
from tests.support.wild.trainers import TRAINERS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(not os.environ.get("ENVPIN_TEST_ALL"), reason="minutes; make test-all runs it"),
    pytest.mark.xdist_group("autotrain"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project folder of a recorded run whose chat template added tokens, so that the embeddings were resized."""
    environment = store_root() / "wild" / "autotrain"
    python = environment / "env" / "bin" / "python"
    if not python.exists():
        python = install(TRAINERS["autotrain"], environment)
    folder = tmp_path_factory.mktemp("autotrain")
    prepare(python, folder)
    train(TRAINERS["autotrain-chat"], python, folder, before=arguments("record", "--"))
    return folder / "autotrain-chat"


def merge(adapter: Path, out: Path) -> dict[str, Any]:
    completed = envpin("replay", "merge", adapter, "-o", out)
    assert completed.status == 0, completed.stderr
    record: dict[str, Any] = json.loads((out / "envpin-merge.json").read_text())
    assert record["verification"]["probe"]["ratio"] < 0.1
    return record


def test_with_the_manifest_and_without_it(project: Path, tmp_path: Path) -> None:
    manifest = read_manifest(project)
    assert manifest.version_of("autotrain-advanced") == "0.8.36"
    assert [one.rows_after for one in manifest.resizes][-1:] != [256], "the vocabulary grew"
    recorded = merge(project, tmp_path / "recorded")
    assert recorded["verdict"]["kind"] == "identical"
    for name in ("envpin.json", "README.md"):
        (project / name).unlink()
    inferred = infer(project)
    truth = manifest.version_of("peft")
    assert truth in inferred.ranges["peft"].versions
    assert {version.rpartition(".")[0] for version in inferred.ranges["peft"].versions} == {"0.14"}
    unrecorded = merge(project, tmp_path / "unrecorded")
    assert unrecorded["verdict"]["kind"] == "unrecorded"
    same = [name for name in recorded["files"] if name.endswith(".safetensors")]
    assert same
    assert unrecorded["embedding"] == recorded["embedding"]
