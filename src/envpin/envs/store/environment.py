"""One finished environment of the store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from envpin.core import process
from envpin.core.marks import RECEIPT

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.envs.store.receipt import Receipt

# Its time of change is when the environment was last asked for.
USED = ".envpin-used"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A finished environment. `python` is its interpreter, `path` its folder."""

    path: Path
    python: Path
    key: str

    @cached_property
    def receipt(self) -> Receipt:
        """What was installed; read when it is first asked for.

        Raises:
            EnvironmentDamagedError: it cannot be read.
        """
        from envpin.envs.store.receipt import read_receipt

        return read_receipt(self.path)

    @property
    def scripts(self) -> Path:
        """The folder of its console scripts."""
        return self.python.parent

    def activated(self) -> dict[str, str]:
        """The caller's variables, with its scripts first on PATH and no other Python leaking in.

        VIRTUAL_ENV stays unset: it would invite installers to change an environment that is shared by its key.
        """
        path = os.pathsep.join([str(self.scripts), os.environ.get("PATH", os.defpath)])
        return process.scrubbed_environment(set_values={"PATH": path})

    @property
    def last_used(self) -> float:
        """When it was last asked for, in seconds since the epoch."""
        marker = self.path / USED
        return (marker if marker.exists() else self.path / RECEIPT).stat().st_mtime
