"""The Python API of recording, for training scripts. Needs only what the training environment has anyway.

Nothing here raises into a training run: what goes wrong is a warning.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpin.recording.injected import hook

if TYPE_CHECKING:
    from collections.abc import Callable


class RecordingWarning(UserWarning):
    """Recording did not work, wholly or in part; the training run is unharmed."""


def watch() -> None:
    """Record every later save of a model or adapter in this process, as `envpin record` would.

    Call it before the base is loaded: then the commit that was really loaded and resizes are caught as well.
    """
    if os.environ.get("ENVPIN_RECORD"):
        return  # the run is under `envpin record`, which watches already
    hook().install(None)


def record(
    model: object, tokenizer: object = None, output_dir: str | os.PathLike[str] | None = None, *, trainer: object = None
) -> Path | None:
    """Write `envpin.json` into `output_dir`, next to what `model.save_pretrained(output_dir)` has left there.

    Every file of an adapter is digested, however large. Call it on rank 0. Returns the path of the manifest, or None,
    with a `RecordingWarning`, where it could not be written.
    """
    if output_dir is None:
        raise TypeError("record() needs output_dir, the folder that the model was saved to")
    folder = Path(output_dir)
    adapter = (folder / "adapter_config.json").is_file()
    if not adapter and not (folder / "config.json").is_file():
        _warn(f"`{folder}` holds no saved model or adapter: call record() after save_pretrained()")
        return None
    before = list(hook().faults)
    try:
        written = hook("document").after_model_save(
            model, "adapter" if adapter else "model", str(folder), tokenizer=tokenizer, trainer=trainer,
            limit=None if adapter else hook("artefacts").DIGEST_IN_RUN,
        )  # fmt: skip
    except Exception as failed:  # noqa: BLE001  a run of days may not end here, whatever it was
        _warn(f"`{folder}` was not recorded: {type(failed).__name__}: {failed}")
        return None
    for fault in hook().faults:
        if fault not in before:
            _warn(f"`{folder}` was recorded in part: {fault}")
    return None if written is None else Path(written)


def log_merge(merged: str | os.PathLike[str]) -> tuple[str, ...]:
    """Log the record of the merged model in the folder `merged` into the run that is active in this process.

    `envpin-merge.json` becomes a file of the run of MLflow, W&B or Trackio; verdict, base and environment become tags
    (W&B: the summary), the proof's figures become metrics. Returns the names of the trackers that took it. What goes
    wrong, and that no run was active, is a `RecordingWarning`.
    """
    from envpin.recording.merge_trackers import log_to_active, read_merge

    try:
        merge = read_merge(Path(merged))
    except (OSError, ValueError) as unreadable:
        _warn(f"nothing was logged: {unreadable}")
        return ()
    faults: list[str] = []
    logged = log_to_active(merge, faults.append)
    if not logged and not faults:
        faults.append("the merge was not logged: no run of MLflow, W&B or Trackio is active in this process")
    for fault in faults:
        _warn(fault)
    return logged


def _warn(message: str) -> None:
    warnings.warn(message, RecordingWarning, stacklevel=3)


class TrainerCallback:
    """A callback for `transformers.Trainer`: records every checkpoint and every later save of the process.

    It answers every event of the Trainer, of whatever version, without importing transformers; all but `on_save` do
    nothing.
    """

    def __init__(self) -> None:
        watch()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: object) -> None:
        """Record a checkpoint that was saved by other means than save_pretrained."""
        del control
        folder = Path(args.output_dir, f"checkpoint-{state.global_step}")
        if not state.is_world_process_zero or (folder / "envpin.json").exists():
            return
        tokenizer = kwargs.get("processing_class", kwargs.get("tokenizer"))
        if (folder / "adapter_config.json").is_file() or (folder / "config.json").is_file():
            record(kwargs.get("model"), tokenizer, folder)

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(name)


def _nothing(*_args: object, **_kwargs: object) -> None:
    return None


def accelerate_tracker() -> object:
    """A tracker for `Accelerator(log_with=[envpin.accelerate_tracker()])`: records every later save of the process.

    It logs nothing: metrics stay with the trackers that are made for them. Needs accelerate.
    """
    from accelerate.tracking import GeneralTracker

    class EnvpinTracker(GeneralTracker):  # type: ignore[misc]  # accelerate is in the training environment only
        name = "envpin"
        requires_logging_directory = False
        tracker = None

        def __init__(self) -> None:
            super().__init__()
            watch()

        def store_init_configuration(self, values: dict[str, Any]) -> None:
            """Nothing is stored."""

        def log(self, values: dict[str, Any], step: int | None = None, **kwargs: object) -> None:
            """Nothing is logged."""

    return EnvpinTracker()
