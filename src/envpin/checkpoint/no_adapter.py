"""What to tell somebody whose folder holds no adapter: one wording for every command that needs one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core import json_input
from envpin.core.adapter_format import foreign_model
from envpin.core.command_text import command_text
from envpin.core.errors import InputError

if TYPE_CHECKING:
    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.core.adapter_format import ForeignFormat, ForeignModel
    from envpin.core.place import Place


def require_adapter(folder: Checkpoint, *, any_format: bool = False) -> Checkpoint:
    """`folder`, which has an adapter_config.json that can be read, in peft's format unless `any_format`.

    Raises:
        InputError: it has none, or is in another format; the message says what it is instead.
    """
    if folder.foreign is not None and (folder.adapter_config is None or not any_format):
        raise foreign_error(folder.path, folder.foreign)
    if folder.adapter_config is None:
        raise _no_adapter(folder)
    return folder


def foreign_error(path: Place, foreign: ForeignFormat) -> InputError:
    """That an adapter is of another tool, and what to do with it."""
    return InputError(f"`{path}` holds {foreign.words}", path=str(path), hint=foreign.step(path))


def foreign_model_error(path: Place, other: ForeignModel) -> InputError:
    """That a model is of another library."""
    return InputError(f"`{path}` is {other.words}", path=str(path), hint=other.next_step)


def _no_adapter(folder: Checkpoint) -> InputError:
    path = str(folder.path)
    broken = next((fault for fault in folder.config_faults if fault.file == "adapter_config.json"), None)
    if broken is not None:
        hint = command_text("envpin", "check", path)
        return InputError(f"`{path}/adapter_config.json` {broken.message}", path=path, hint=hint)
    if folder.kind == "model" and _merged_by_autotrain(folder.files):
        return InputError(
            f"`{path}` holds no adapter any more: AutoTrain merged it (merge_adapter in training_params.json)",
            path=path,
            hint="use it as the model that it is, or train again without --merge-adapter",
        )
    if folder.kind == "model" and (other := foreign_model(folder.config or {})) is not None:
        return foreign_model_error(folder.path, other)
    return InputError(
        f"`{path}` holds no adapter: there is no adapter_config.json",
        path=path,
        hint="give the folder that peft's save_pretrained wrote",
    )


def _merged_by_autotrain(place: Place) -> bool:
    """AutoTrain's `--merge-adapter` writes the model into the project folder, and removes the adapter's files."""
    try:
        return json_input.read_object(place / "training_params.json").get("merge_adapter") is True
    except (OSError, json_input.BadJsonError):
        return False
