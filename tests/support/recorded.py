"""Run a training script under `envpin record`, or without it, and look at what it left."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.environments import child_environment, pinned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envpin.envs.store.environment import Environment

TINY = Path(__file__).parent / "training" / "tiny.py"
FINETUNE = Path(__file__).parent / "training" / "finetune.py"
ENVPIN = (sys.executable, "-m", "envpin")


def variables(**more: str) -> dict[str, str]:
    """The environment of a training run: offline, one thread, no GPU."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "ENVPIN_RECORD"}}
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TOKENIZERS_PARALLELISM": "false",
    }
    # peft writes `target_modules`, a set, in hash order: the files of two runs are equal only where they hash alike.
    return {**kept, **child_environment(), **quiet, "PYTHONHASHSEED": "0", **more}


def run(
    argv: Sequence[str | Path], *, cwd: Path, recorded: bool = True, options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    command = [str(word) for word in argv]
    if recorded:
        command = [*ENVPIN, "record", *options, "--", *command]
    return subprocess.run(
        command, cwd=cwd, env=variables(**(env or {})), capture_output=True, text=True, check=False, timeout=300
    )


def python_of(environment: Environment) -> str:
    return str(environment.python)


@cache
def base(name: str, folder: Path) -> Path:
    """A tiny base made by the environment `name` below `folder`, once a process."""
    path = folder / f"base-{name}"
    made = run([pinned(name).python, TINY, "make", path], cwd=folder, recorded=False)
    assert made.returncode == 0, made.stderr
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` but what recording leaves there, by its relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in {"envpin.json", "envpin-trace.jsonl", "envpin.patch"}
    }
