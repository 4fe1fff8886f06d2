"""Log the record of a merge into the run of MLflow, W&B or Trackio that is active in this process.

Standard library only: it runs in the user's environment. A tracker is only spoken to where the caller has imported it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from envpin.core.files import read_bounded
from envpin.core.json_input import MAX_BYTES, parse
from envpin.core.marks import MERGE_RECORD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType


class LoggedMerge(NamedTuple):
    """What is logged of a merge: its record, the words of its verdict, and the figures of its proof."""

    path: Path
    words: dict[str, str]
    figures: dict[str, float]


def read_merge(folder: Path) -> LoggedMerge:
    """
    Raises:
        OSError: there is no record in `folder`.
        ValueError: it is not the record of a merge.
    """
    path = folder.absolute() / MERGE_RECORD
    document = parse(read_bounded(path, MAX_BYTES))
    try:
        verdict, verification = document["verdict"], document["verification"]
        words = {
            "envpin.verdict": str(verdict["kind"]),
            "envpin.base_weights": str(verdict["base_weights"]),
            "envpin.inputs": str(document["inputs_digest"]),
            "envpin.environment": str(document["environment"]["lock_sha256"]),
        }
        found = {"untouched": verification.get("untouched"), "changed": verification.get("changed"),
                 "outputs_ratio": (verification.get("probe") or {}).get("ratio")}  # fmt: skip
    except (KeyError, TypeError, AttributeError) as missing:
        raise ValueError(f"`{path}` is no record of a merge") from missing
    figures = {f"envpin.{name}": float(value) for name, value in found.items() if isinstance(value, (int, float))}
    return LoggedMerge(path, words, figures)


def log_to_active(merge: LoggedMerge, failed: Callable[[str], None]) -> tuple[str, ...]:
    """Log it to every tracker that has an active run; their names. One that raises is told to `failed`."""
    logged = []
    for module, name, log in (
        ("mlflow", "MLflow", _mlflow),
        ("wandb", "W&B", _wandb),
        ("trackio", "Trackio", _trackio),
    ):
        imported = sys.modules.get(module)
        if imported is None:
            continue
        try:
            if log(imported, merge):
                logged.append(name)
        except Exception as fault:  # noqa: BLE001  a tracker's fault is not the merge's, whatever it was
            failed(f"the merge was not logged to {name}: {type(fault).__name__}: {fault}")
    return tuple(logged)


def _mlflow(mlflow: ModuleType, merge: LoggedMerge) -> bool:
    run = mlflow.active_run()
    if run is None:
        return False
    client, number = mlflow.MlflowClient(), run.info.run_id
    client.log_artifact(number, str(merge.path), f"envpin/{merge.path.parent.name}")
    for name, word in merge.words.items():
        client.set_tag(number, name, word)
    for name, figure in merge.figures.items():
        client.log_metric(number, name, figure)
    return True


def _wandb(wandb: ModuleType, merge: LoggedMerge) -> bool:
    run = getattr(wandb, "run", None)
    if run is None:
        return False
    # `base_path` makes the folder's own name part of the name in the run.
    run.save(str(merge.path), base_path=str(merge.path.parent.parent), policy="now")
    run.summary.update({**merge.words, **merge.figures})
    return True


def _trackio(trackio: Any, merge: LoggedMerge) -> bool:
    run = trackio.context_vars.current_run.get()
    if run is None:
        return False
    run.log_artifact(str(merge.path), name=f"envpin-{merge.path.parent.name}", type="envpin-merge")
    run.log(dict(merge.figures))
    return True
