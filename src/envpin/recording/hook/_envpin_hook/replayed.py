"""Only in a replay, which `envpin replay train` starts: where it writes, and after which step it ends.

`ENVPIN_REPLAY` holds a JSON object: `from` and `to`, the recorded output folder and its new one; `relative`, the former
as the run named it; `steps`, after how many the run is to end, or null. Without it nothing in here does anything.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

if TYPE_CHECKING:
    from transformers import Trainer

_TIMES = re.compile("[0-9]{6,}")
_asked: Optional[Dict[str, Any]] = None


def active() -> bool:
    return "ENVPIN_REPLAY" in os.environ


def moved(path: Any) -> Any:
    """Where the replay writes what the recorded run wrote to `path`; other relative paths lie in its own folder."""
    if not active() or not isinstance(path, (str, os.PathLike)):
        return path
    asked = _request()
    name = os.fspath(path)
    target = os.path.abspath(name)
    source, new = str(asked["from"]), str(asked["to"])
    if _is_within(target, new):
        return path
    if _is_within(target, source):
        return os.path.normpath(os.path.join(new, os.path.relpath(target, source)))
    relative = asked.get("relative")
    if not os.path.isabs(name) or _is_within(target, os.getcwd()):
        own = os.path.normpath(name) if not os.path.isabs(name) else os.path.relpath(target, os.getcwd())
        rest = _below(own, str(relative)) if relative is not None else None
        if rest is not None:
            return os.path.join(new, *rest)
    if _is_within(target, os.getcwd()):
        return path
    return os.path.join(new, "elsewhere", os.path.basename(target) or "root")


def moved_call(args: Tuple[object, ...], kwargs: Dict[str, object]) -> Tuple[Tuple[object, ...], Dict[str, object]]:
    """The arguments of a `save_pretrained` with its folder moved."""
    if not active():
        return args, kwargs
    if args:
        return (moved(args[0]),) + tuple(args[1:]), kwargs
    if "save_directory" in kwargs:
        kwargs = dict(kwargs, save_directory=moved(kwargs["save_directory"]))
    return args, kwargs


def move_output(trainer: Trainer) -> None:
    """Some trainers (ms-swift) name the folder once more after their arguments are made."""
    trainer.args.output_dir = moved(trainer.args.output_dir)


def stop_after(trainer: Trainer) -> None:
    """End the training with its next whole step, where as many as asked for are made. The schedule stays as it was."""
    steps = _request().get("steps")
    accelerator = getattr(trainer, "accelerator", None)
    if steps is not None and getattr(accelerator, "sync_gradients", True) and trainer.state.global_step + 1 >= steps:
        trainer.control.should_training_stop = True


def _below(path: str, folder: str) -> Optional[List[str]]:
    """The parts of `path` below `folder`, or None. Long numbers do not count: trainers name folders by the time."""
    parts, outer = path.split(os.sep), folder.split(os.sep)
    if [_TIMES.sub("0", part) for part in parts[: len(outer)]] != [_TIMES.sub("0", part) for part in outer]:
        return None
    return parts[len(outer) :]


def _request() -> Dict[str, Any]:
    global _asked
    if _asked is None:
        _asked = json.loads(os.environ["ENVPIN_REPLAY"])
    return _asked


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
