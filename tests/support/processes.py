"""Which processes of a command are left."""

from __future__ import annotations

import time
from pathlib import Path


def outlived(group: int, *, within: float = 1.0) -> bool:
    """Whether anybody of the group or session lives so many seconds after its leader. What ended and nobody has
    collected does not."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not any(_is_alive(one, group) for one in Path("/proc").glob("[0-9]*")):
            return False
        time.sleep(0.05)
    return True


def _is_alive(process: Path, group: int) -> bool:
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return group in {int(fields[2]), int(fields[3])} and fields[0] != "Z"
