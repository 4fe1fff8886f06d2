"""Run the `envpin` of this checkout as a user would, with the shared store of the tests."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from envpin.core import process
from tests.support.environments import child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def variables(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child `envpin`: one torch thread, as the models are tiny; no Hub but a simulated one."""
    fixed = {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}
    # xdist gives its workers a width, which no pipe of a user has.
    own = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return {**own, **child_environment(), **fixed, **(extra or {})}


def arguments(*words: object) -> list[str]:
    return [sys.executable, "-m", "envpin", *(str(word) for word in words)]


def envpin(*words: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> process.Completed:
    """`envpin WORDS…`, to its end."""
    return process.run(arguments(*words), env=variables(env), cwd=cwd)


def answer(*words: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> dict[str, Any]:
    """The document that `envpin WORDS… --json` prints; it must succeed."""
    completed = envpin(*words, "--json", env=env, cwd=cwd)
    assert completed.status == 0, completed.stderr
    found: dict[str, Any] = json.loads(completed.stdout)
    return found
