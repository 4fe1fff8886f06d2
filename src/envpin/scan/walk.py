"""Find the folders that hold a model, an adapter or a checkpoint. Nothing is opened but small configs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from envpin.core import json_input
from envpin.core.adapter_format import foreign_format
from envpin.core.command_text import command_text
from envpin.core.errors import InputError
from envpin.core.events import Progress, ignore
from envpin.inference.trainers import checkpoint_step

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.events import Listener

# Never entered: they hold no checkpoint of the user's, and often very many files.
SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules"})
# An environment of Python: what lies below it belongs to packages.
_ENVIRONMENT = frozenset({"pyvenv.cfg", "conda-meta"})
_CERTAIN = frozenset({
    "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt", "model.safetensors",
    "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json", "adapters.safetensors",
    "adapters.npz", "pytorch_adapter.bin", "pytorch_lora_weights.bin", "adapter_metadata.json", "adapter.pt",
    "trainer_state.json",
})  # fmt: skip
_SHARD = re.compile(r".+-\d{5}-of-\d{5}\.(?:safetensors|bin)")
# The largest config.json in the wild is under 1 MB; a larger file is no model's config for a scan.
_CONFIG_LIMIT = 1_000_000
# Folders between two progress events.
_TOLD_EVERY = 500


class Spot(NamedTuple):
    """A folder that holds something, and its entries. `run` is the folder around a checkpoint, with its entries."""

    path: Path
    names: frozenset[str]
    run: tuple[Path, frozenset[str]] | None = None


@dataclass(kw_only=True)
class WalkedTree:
    """`spots` in the order of their paths; `unreadable` are folders and why; `links` are linked folders left alone."""

    spots: list[Spot] = field(default_factory=list)
    folders: int = 0
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)


def walk(root: Path, *, follow_links: bool = False, listener: Listener = ignore) -> WalkedTree:
    """Every folder below `root`, itself included, that holds a model, an adapter or a checkpoint.

    A linked folder is entered with `follow_links` only, and no folder twice, so that a loop of links ends.

    Raises:
        InputError: `root` is no folder, or cannot be read.
    """
    found = WalkedTree()
    seen: set[tuple[int, int]] = set()
    waiting: list[tuple[Path, tuple[Path, frozenset[str]] | None]] = [(root, None)]
    while waiting:
        path, parent = waiting.pop()
        try:
            status = os.stat(path)  # noqa: PTH116  follows the link of the root
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            names, below, links = _entries(path, follow_links=follow_links)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if path == root:
                hint = None
                if isinstance(error, NotADirectoryError):
                    reason, hint = "it is a file, not a folder", command_text("envpin", "scan", root.parent)
                raise InputError(f"`{root}` cannot be scanned: {reason}", path=root, hint=hint) from error
            found.unreadable.append((path, reason))
            continue
        found.folders += 1
        if found.folders % _TOLD_EVERY == 0:
            listener(Progress(key="walk", done=found.folders, unit="folders"))
        found.links += links
        if names & _ENVIRONMENT:
            continue
        if _holds_something(path, names):
            is_checkpoint = checkpoint_step(path.name) is not None and parent is not None
            found.spots.append(Spot(path, names, parent if is_checkpoint else None))
        waiting += [(path / name, (path, names)) for name in sorted(below, reverse=True)]
    found.spots.sort(key=lambda spot: spot.path)
    return found


def _entries(path: Path, *, follow_links: bool) -> tuple[frozenset[str], list[str], list[Path]]:
    """The entries of a folder, the folders among them to enter, and the linked ones that are left alone."""
    names: list[str] = []
    below: list[str] = []
    links: list[Path] = []
    with os.scandir(path) as entries:
        for entry in entries:
            names.append(entry.name)
            try:
                if entry.name in SKIPPED or not entry.is_dir():
                    continue
                linked = entry.is_symlink()
            except OSError:  # a link that leads nowhere, or in a circle
                continue
            if linked and not follow_links:
                links.append(path / entry.name)
            else:
                below.append(entry.name)
    return frozenset(names), below, links


# Weights of other tools, where these names are anything at all.
_FOREIGN = (".gguf", ".nemo", ".pt", ".bin", ".npz", ".lora", ".adapter")


def _holds_something(path: Path, names: frozenset[str]) -> bool:
    if names & _CERTAIN or any(name.endswith(".safetensors") or _SHARD.fullmatch(name) for name in names):
        return True
    if any(name.endswith(_FOREIGN) for name in names) and foreign_format(path, names) is not None:
        return True
    return "config.json" in names and _is_model_config(path / "config.json")


def _is_model_config(path: Path) -> bool:
    """Whether a config.json without weights beside it is a model's: files of that name are everywhere."""
    try:
        config = json_input.read_object(path, limit=_CONFIG_LIMIT)
    except (OSError, json_input.BadJsonError):
        return False
    return isinstance(config.get("model_type"), str) and isinstance(config.get("architectures"), list)
