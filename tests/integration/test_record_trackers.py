"""The manifest in the active run of MLflow, W&B or Trackio: with the real ones, and never in the training run's way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import recorded
from tests.support.environments import PINS, literal

if TYPE_CHECKING:
    from pathlib import Path

TRACKERS = (*PINS["peft012"], "mlflow-skinny==3.4.0", "wandb==0.22.2")
TRACKIO = (*PINS["latest"], "trackio==0.43.0")
# A training run that keeps its records in one of them. What it saves stands for every save: the hook is what is tested.
SCRIPT = """
import os, sys, torch, transformers
from peft import LoraConfig, get_peft_model
which = sys.argv[1]
if "mlflow" in which:
    import mlflow
    mlflow.set_tracking_uri(os.environ["TRACKING"])
    if which != "mlflow-idle":
        mlflow.start_run()
if which == "wandb":
    import wandb
    wandb.init(mode="offline", project="p", dir="runs")
if which == "trackio":
    import trackio
    trackio.init(project="p", name="r", embed=False)
config = transformers.LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                  num_attention_heads=2)
model = get_peft_model(transformers.LlamaForCausalLM(config), LoraConfig(target_modules=["q_proj"]))
model.save_pretrained("out")
if which == "wandb":
    wandb.finish()
if which == "trackio":
    trackio.finish()
print("the end of the run")
"""


def run(tmp_path: Path, which: str, **more: str) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "runs").mkdir()
    more.setdefault("TRACKING", f"file://{tmp_path}/mlruns")
    environment = literal(*(TRACKIO if which == "trackio" else TRACKERS))
    ended = recorded.run([environment.python, "train.py", which], cwd=tmp_path, env=more)
    assert ended.returncode == 0, ended.stderr
    assert "the end of the run" in ended.stdout
    assert (tmp_path / "out" / "envpin.json").is_file()


def logged(tmp_path: Path, pattern: str) -> list[Path]:
    return list(tmp_path.glob(pattern))


def test_mlflow(tmp_path: Path) -> None:
    run(tmp_path, "mlflow")
    (artifact,) = logged(tmp_path, "mlruns/*/*/artifacts/envpin/out/envpin.json")
    manifest = json.loads(artifact.read_text())
    assert {"name": "peft", "version": "0.12.0"} in manifest["distributions"]


def test_wandb_offline(tmp_path: Path) -> None:
    run(tmp_path, "wandb")
    (file,) = logged(tmp_path, "runs/wandb/offline-run-*/files/out/envpin.json")
    assert json.loads(file.read_text())["schema"] == 2


def test_trackio(tmp_path: Path) -> None:
    run(tmp_path, "trackio", TRACKIO_DIR=str(tmp_path / "trackio"))
    (blob,) = logged(tmp_path, "trackio/artifacts/p/blobs/sha256/*/*")
    assert {"name": "peft", "version": "0.21.2"} in json.loads(blob.read_text())["distributions"]


@pytest.mark.parametrize(
    ("which", "more"),
    [("mlflow-idle", {}), ("none", {}), ("mlflow", {"ENVPIN_TRACKERS": "off"})],
    ids=["imported, and no run is active", "not imported", "turned off"],
)
def test_nothing_is_logged_where_nothing_is_asked_for(tmp_path: Path, which: str, more: dict[str, str]) -> None:
    run(tmp_path, which, **more)
    assert not logged(tmp_path, "mlruns/**/envpin.json")


def test_a_tracker_that_fails_is_told_and_harms_nothing(tmp_path: Path) -> None:
    broken = "mlflow.MlflowClient.log_artifact = None\nmodel.save_pretrained"
    (tmp_path / "train.py").write_text(SCRIPT.replace("model.save_pretrained", broken))
    ended = recorded.run([literal(*TRACKERS).python, "train.py", "mlflow"], cwd=tmp_path,
                         env={"TRACKING": f"file://{tmp_path}/mlruns"})  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "while recording: logging to MLflow: TypeError" in ended.stderr
    assert (tmp_path / "out" / "envpin.json").is_file()
