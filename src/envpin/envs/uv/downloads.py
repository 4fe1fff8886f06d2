"""What uv says of its downloads, as progress."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.events import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from envpin.core.events import Listener

_DOWNLOADING = re.compile(r"^\s*Downloading (\S+)(?: \(([\d.]+)([KMG]?i?B)\))?")
_DOWNLOADED = re.compile(r"^\s*Downloaded (\S+)")
_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "KB": 1000, "MB": 1000**2, "GB": 1000**3}


def downloads(listener: Listener) -> Callable[[str], None]:
    """Turn the lines of uv about downloads into progress events: bytes of the files that have arrived, of all."""
    sizes: dict[str, int] = {}
    arrived: set[str] = set()

    def on_line(line: str) -> None:
        if (match := _DOWNLOADING.match(line)) is not None:
            sizes[match[1]] = int(float(match[2]) * _UNITS.get(match[3], 1)) if match[2] else 0
        elif (match := _DOWNLOADED.match(line)) is not None:
            arrived.add(match[1])
        else:
            return
        done = sum(sizes.get(name, 0) for name in arrived)
        waiting = [name for name in sizes if name not in arrived]
        label = ", ".join(waiting[:3]) + (f" and {len(waiting) - 3} more" if len(waiting) > 3 else "")
        listener(Progress(key="download", done=done, total=sum(sizes.values()), unit="B", label=label))

    return on_line
