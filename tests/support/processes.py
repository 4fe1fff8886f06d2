"""Which processes of a command are left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# A lap counts as no more than this: a stop of all processes of a machine for a minute makes none of them slow.
_LAP = 0.25  # seconds


def laps(within: float, *, pause: float = 0.05) -> Iterator[None]:
    """As often as one may look within so many seconds, and once more; while we are stopped no time goes by."""
    left = within
    while left > 0:
        yield
        began = time.monotonic()
        time.sleep(pause)
        left -= min(time.monotonic() - began, _LAP)
    yield


def outlived(group: int, *, within: float = 1.0) -> bool:
    """Whether anybody of the group or session lives so many seconds after its leader. What ended and nobody has
    collected does not."""
    return bool(survivors(group, within=within))


def survivors(group: int, *, within: float = 1.0) -> list[str]:
    """Who of the group or session lives so many seconds after its leader: number, parent, state and command of each."""
    left: list[str] = []
    for _ in laps(within):
        left = [line for one in Path("/proc").glob("[0-9]*") if (line := _line(one, group))]
        if not left:
            break
    return left


def _line(process: Path, group: int) -> str:
    """About one process; empty where it is not of the group, or lives no longer."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
    if group not in {int(fields[2]), int(fields[3])} or fields[0] == "Z":
        return ""
    return f"{process.name} of {fields[1]} ({fields[0]}): {command[:300]!r}"
