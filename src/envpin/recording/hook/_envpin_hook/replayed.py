"""Only in a replay, which `envpin replay train` starts: where it writes, and after which step it ends.

`ENVPIN_REPLAY` holds a JSON object: `from` and `to`, the recorded output folder and its new one; `relative`, the former
as seen from where the command was started, which is `working` now, below `root`, of which what is saved is collected
afterwards; `steps`, after how many the run is to end, or null.
Without it nothing in here does anything.
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
    relative, working = asked.get("relative"), str(asked["working"])
    inside = _is_within(target, str(asked["root"]))
    if relative is not None and (inside or not os.path.isabs(name)):  # a script may have gone elsewhere
        own = os.path.relpath(target, working) if inside else os.path.normpath(name)
        rest = _below(own, str(relative))
        if rest is not None:
            return os.path.join(new, *rest)
    if inside:
        return path
    return os.path.join(new, "elsewhere", os.path.basename(target) or "root")


def moved_call(args: Tuple[object, ...], kwargs: Dict[str, object]) -> Tuple[Tuple[object, ...], Dict[str, object]]:
    """The arguments of a `save_pretrained` with its folder moved."""
    if not active():
        return args, kwargs
    if args:
        args = (moved(args[0]),) + tuple(args[1:])
        link_back(args[0])
    elif "save_directory" in kwargs:
        kwargs = dict(kwargs, save_directory=moved(kwargs["save_directory"]))
        link_back(kwargs["save_directory"])
    return args, kwargs


def link_back(path: Any) -> None:
    """Before a save in the new output: let the run find it where it will look for it, by the name of the old one.

    Not before the first one: a script may refuse an output that is there, or clear it.
    """
    asked = _request()
    relative, new = asked.get("relative"), str(asked["to"])
    if not isinstance(relative, str) or relative == os.curdir or not isinstance(path, (str, os.PathLike)):
        return
    target, place = os.path.abspath(os.fspath(path)), os.path.join(str(asked["working"]), relative)
    if not _is_within(target, new) or os.path.islink(place):
        return
    try:
        if os.path.isdir(place) and os.listdir(place):  # the script has made it, and written there
            first = os.path.relpath(target, new).split(os.sep)[0]
            if first != os.curdir and not os.path.lexists(os.path.join(place, first)):
                os.symlink(os.path.join(new, first), os.path.join(place, first))
            return
        if os.path.isdir(place):
            os.rmdir(place)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.symlink(new, place)
    except OSError:
        pass  # a file system without links: the run is repeated all the same


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
