"""What makes two environments the same one. Pure.

An environment is its lock, the Python it was asked for, the platform, and the settings that change what gets installed.
Where things come from (mirrors, caches, proxies) is not part of it: hashes make that irrelevant.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from envpin.core.files import digest
from envpin.envs.locks.lock import Lock  # noqa: TC001  dataclass field

if TYPE_CHECKING:
    from collections.abc import Mapping

# Raised when what envpin builds from the same lock changes; old environments then stay, unused, until pruned.
LAYOUT = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentSpec:
    """An environment that can be built: a lock for a Python.

    `name` is what people call it and no part of its identity. `python` is a version as a user would ask for it: `3.11`,
    or `3.11.7` where the patch level matters.
    """

    name: str
    lock: Lock
    python: str
    settings: tuple[tuple[str, str], ...] = field(default=())


def environment_key(spec: EnvironmentSpec, *, platform: Mapping[str, str]) -> str:
    """The key of `spec` on `platform`: 24 hex digits, stable across runs and machines."""
    identity = {
        "layout": LAYOUT,
        "lock": spec.lock.digest,
        "python": spec.python,
        "platform": dict(sorted(platform.items())),
        "settings": sorted(spec.settings),
    }
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return digest(text)[:24]
