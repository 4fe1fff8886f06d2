"""Log a manifest to the run of MLflow, W&B or Trackio that is active, where the training run has imported it itself.

None may hold up the training: MLflow and Trackio upload in a thread, W&B in a process of its own. `ENVPIN_TRACKERS=off`
turns all of them off.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import TYPE_CHECKING, Any, List

from _envpin_hook import guarded, module

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Callable

# At the end of the run an upload is waited for this long, all of them together.
_LAST_WAIT = 5.0  # seconds
_uploads: List[threading.Thread] = []


def log(path: str) -> None:
    """Log the manifest at `path`, below `envpin/` and the name of its folder."""
    if os.environ.get("ENVPIN_TRACKERS", "").lower() in ("off", "0", "no", "false"):
        return
    mlflow, wandb, trackio = module("mlflow"), module("wandb"), module("trackio")
    if mlflow is not None:
        guarded("logging to MLflow", _mlflow, mlflow, path)
    if wandb is not None:
        guarded("logging to W&B", _wandb, wandb, path)
    if trackio is not None:
        guarded("logging to Trackio", _trackio, trackio, path)


def _mlflow(mlflow: ModuleType, path: str) -> None:
    run = mlflow.active_run()
    if run is None:
        return
    client = mlflow.MlflowClient()
    place = "envpin/" + os.path.basename(os.path.dirname(path))

    def upload() -> None:
        guarded("logging to MLflow", client.log_artifact, run.info.run_id, path, place)

    _start(upload)


def _trackio(trackio: Any, path: str) -> None:
    run = trackio.context_vars.current_run.get()
    if run is None:
        return
    name = "envpin-" + os.path.basename(os.path.dirname(path))

    def upload() -> None:
        guarded("logging to Trackio", lambda: run.log_artifact(path, name=name, type="envpin"))

    _start(upload)


def _start(upload: Callable[[], None]) -> None:
    thread = threading.Thread(target=upload, name="envpin-upload", daemon=True)
    if not _uploads:
        atexit.register(_wait)
    _uploads.append(thread)
    thread.start()


def _wandb(wandb: ModuleType, path: str) -> None:
    run = getattr(wandb, "run", None)
    if run is None:
        return
    # `base_path` makes the folder's own name part of the name in the run.
    run.save(path, base_path=os.path.dirname(os.path.dirname(path)), policy="now")


def _wait() -> None:
    end = time.monotonic() + _LAST_WAIT
    for thread in _uploads:
        thread.join(max(0.0, end - time.monotonic()))
