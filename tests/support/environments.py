"""Real pinned environments for the tests, built once and shared: with real uv, from the user's index.

`ENVPIN_TEST_STORE` names a store to share between checkouts; unset, it lies under the checkout's own `.cache`.
A directory of wheels that pip was told of (`PIP_FIND_LINKS`, or `pip config get global.find-links`) is handed on to uv,
so that a machine with a local CPU build of torch need not download the 3 GB one.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core import process
from envpin.envs.refs.pins import Resolver
from envpin.envs.store.store import Store
from envpin.envs.uv.command import find_uv

if TYPE_CHECKING:
    from envpin.envs.store.environment import Environment
    from envpin.envs.store.identity import EnvironmentSpec

PYTHON = "3.11"
TORCH = "torch==2.13.0"
PINS: dict[str, tuple[str, ...]] = {
    "peft012": ("transformers==4.43.1", "peft==0.12.0", TORCH, "accelerate", "safetensors"),
    "vlm": ("transformers==4.51.3", "peft==0.15.2", TORCH, "accelerate", "safetensors"),
    "qlora": ("transformers==4.57.1", "peft==0.18.0", TORCH, "accelerate", "safetensors", "bitsandbytes==0.50.2"),
    "latest": ("transformers==5.23.0", "peft==0.21.2", TORCH, "accelerate", "safetensors"),
}


@cache
def store_root() -> Path:
    configured = os.environ.get("ENVPIN_TEST_STORE")
    return Path(configured) if configured else Path(__file__).resolve().parents[2] / ".cache" / "store"


@cache
def find_links() -> tuple[str, ...]:
    """What pip was told of, for uv; empty on a machine where nothing was."""
    configured = os.environ.get("PIP_FIND_LINKS") or os.environ.get("UV_FIND_LINKS")
    if not configured:
        pip = shutil.which("pip") or shutil.which("pip3")
        if pip is None:
            return ()
        completed = process.run([pip, "config", "get", "global.find-links"])
        configured = completed.stdout if completed.status == 0 else ""
    return tuple(dict.fromkeys(configured.replace(",", " ").split()))


def child_environment() -> dict[str, str]:
    """Variables for an `envpin` that a test starts: the shared store, and the wheels that pip was told of."""
    variables = {"ENVPIN_HOME": str(store_root())}
    if find_links():
        variables["UV_FIND_LINKS"] = ",".join(find_links())
    return variables


def spec(*pins: str) -> EnvironmentSpec:
    """The environment of literal pins, resolved once per store."""
    return Resolver(python=PYTHON, root=store_root()).pins(pins, find_links=find_links())


def literal(*pins: str) -> Environment:
    """The shared environment of literal pins for Python 3.11; built on first use. Treat it as read-only."""
    return Store(store_root()).ensure(spec(*pins))


def pinned(name: str) -> Environment:
    """One of the everyday environments: `peft012`, `vlm` or `latest`. Treat it as read-only."""
    return literal(*PINS[name])


if __name__ == "__main__":
    import sys

    for asked in sys.argv[1:] or PINS:
        sys.stdout.write(f"{asked} {pinned(asked).path} uv {find_uv().version}\n")
