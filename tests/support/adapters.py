"""Adapters trained for real, once per store, in a shared environment and under `envpin record`.

`adapter(name)` returns a folder with `base/` and `adapter/`. Treat it as read-only: copy what a test changes.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tests.support.command import envpin
from tests.support.environments import pinned, store_root

# What a run records: a store that holds adapters of an older form trains them once more, next to the old ones.
_FORM = "base-samples"
_SCRIPT = Path(__file__).with_name("train_tiny.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """`environment` is one of `tests.support.environments.PINS`; `kind` one that train_tiny.py knows."""

    environment: str
    kind: str


RECIPES = {
    # The vocabulary grew by one token; embedding and head were trained with it.
    "grown": Recipe(environment="peft012", kind="llama-grown"),
    # The same over tied embeddings: the trained head must not be lost.
    "grown-tied": Recipe(environment="peft012", kind="llama-grown-tied"),
    # Of tied tables only the embedding was trained and saved; what the head's new rows were is in no file.
    "grown-embedding": Recipe(environment="latest", kind="qwen2-grown-embedding"),
    # LoRA on the attention only.
    "plain": Recipe(environment="peft012", kind="llama-plain"),
    # Never trained: B is zero.
    "untrained": Recipe(environment="peft012", kind="llama-untrained"),
    # Over a base that bitsandbytes quantized on loading, and over one that was saved quantized.
    "qlora": Recipe(environment="qlora", kind="llama-qlora"),
    "qlora-packed": Recipe(environment="qlora", kind="llama-qlora-packed"),
    # Releases from 4.52 on rename the language model inside, and peft then drops the adapter silently.
    "qwen2-vl": Recipe(environment="vlm", kind="qwen2-vl"),
}


def adapter(name: str) -> Path:
    """The folder of the adapter called `name`, trained on first use."""
    recipe = RECIPES[name]
    folder = store_root() / "adapters" / _FORM / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(name + ".lock")):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            python = pinned(recipe.environment).python
            completed = envpin("record", "--", python, _SCRIPT, recipe.kind, folder)
            assert completed.status == 0, completed.stderr
            (folder / "done").touch()
    return folder


def copy(name: str, to: Path) -> Path:
    """A copy of the adapter called `name` and its base that a test may change; the copy knows of no other base."""
    folder = to / name
    shutil.copytree(adapter(name), folder)
    for path in (folder / "adapter" / "adapter_config.json", folder / "adapter" / "envpin.json"):
        path.write_text(path.read_text().replace(str(adapter(name) / "base"), str(folder / "base")))
    return folder
