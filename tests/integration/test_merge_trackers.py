"""`envpin.log_merge` with the real MLflow, W&B and Trackio, in an interpreter that has envpin's sources and them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support import recorded
from tests.support.environments import literal
from tests.support.merge_records import write_merged
from tests.support.places import SOURCE

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

TRACKERS = ("mlflow-skinny==3.4.0", "wandb==0.22.2", "trackio==0.43.0")
STARTS = {
    "mlflow": "import mlflow; mlflow.set_tracking_uri('file:mlruns'); mlflow.start_run()",
    "wandb": "import wandb; run = wandb.init(mode='offline', project='p', dir='.')",
    "trackio": "import trackio; trackio.init(project='p', name='r', embed=False)",
    "idle": "import mlflow, trackio",
}
ENDS = {
    "wandb": "print(json.dumps(dict(run.summary), default=str)); wandb.finish()",
    "trackio": "trackio.finish()",
}


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    return write_merged(tmp_path / "merged")


def log(folder: Path, which: str, what: str = "merged", between: str = "") -> subprocess.CompletedProcess[str]:
    script = (
        f"import json, sys; sys.path.insert(0, {str(SOURCE.parent)!r}); import envpin\n{STARTS[which]}\n{between}\n"
        f"print(json.dumps(envpin.log_merge({what!r})))\n{ENDS.get(which, '')}\n"
    )
    more = {"TRACKIO_DIR": str(folder / "trackio"), "WANDB_SILENT": "true"}
    python = literal(*TRACKERS).python
    ended = recorded.run([python, "-c", script], cwd=folder, recorded=False, env=more)
    assert ended.returncode == 0, ended.stderr
    return ended


def test_mlflow_has_the_record_the_verdict_and_the_figures(merged: Path) -> None:
    folder = merged.parent
    assert '["MLflow"]' in log(folder, "mlflow").stdout
    (run,) = folder.glob("mlruns/*/*/artifacts")
    logged = run / "envpin" / "merged" / "envpin-merge.json"
    assert logged.read_bytes() == (merged / "envpin-merge.json").read_bytes()
    tags = {path.name: path.read_text() for path in (run.parent / "tags").iterdir()}
    assert (tags["envpin.verdict"], tags["envpin.base_weights"]) == ("identical", "equal")
    assert (run.parent / "metrics" / "envpin.outputs_ratio").read_text().split()[1] == "0.004"


def test_wandb_has_the_record_and_a_summary(merged: Path) -> None:
    folder = merged.parent
    ended = log(folder, "wandb")
    assert '["W&B"]' in ended.stdout
    (logged,) = folder.glob("wandb/offline-run-*/files/merged/envpin-merge.json")
    assert logged.read_bytes() == (merged / "envpin-merge.json").read_bytes()
    summary = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    assert (summary["envpin.verdict"], summary["envpin.changed"]) == ("identical", 3.0)


def test_trackio_has_the_record(merged: Path) -> None:
    folder = merged.parent
    assert '["Trackio"]' in log(folder, "trackio").stdout
    blobs = [path.read_bytes() for path in folder.glob("trackio/artifacts/p/blobs/sha256/*/*")]
    assert (merged / "envpin-merge.json").read_bytes() in blobs


@pytest.mark.parametrize(
    ("which", "what", "between", "said"),
    [
        ("idle", "merged", "", "no run of MLflow, W&B or Trackio is active"),
        ("mlflow", "nowhere", "", "nothing was logged: [Errno 2]"),
        ("mlflow", "other", "", "is no record of a merge"),
        ("mlflow", "merged", "mlflow.MlflowClient.log_artifact = None", "not logged to MLflow: TypeError"),
    ],
    ids=["no active run", "no folder", "another document", "a tracker that raises"],
)
def test_what_is_not_logged_is_a_warning(merged: Path, which: str, what: str, between: str, said: str) -> None:
    folder = merged.parent
    (folder / "other").mkdir()
    (folder / "other" / "envpin-merge.json").write_text("{}")
    ended = log(folder, which, what, between)
    assert "[]" in ended.stdout
    assert "RecordingWarning: " in ended.stderr
    assert said in ended.stderr
    shutil.rmtree(folder / "other")
