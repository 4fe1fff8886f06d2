"""Facts of this machine that the store depends on: its platform, and the folder that holds the store."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def this_platform() -> dict[str, str]:
    """What decides which wheels fit here: system, machine and C library, without its patch level."""
    facts = {"system": sys.platform, "machine": platform.machine().lower()}
    if sys.platform == "linux":
        try:
            facts["libc"] = os.confstr("CS_GNU_LIBC_VERSION") or "unknown"
        except (ValueError, OSError):
            facts["libc"] = "musl"  # musl has no such name
    elif sys.platform == "darwin":
        facts["release"] = platform.mac_ver()[0].partition(".")[0]
    return facts


def default_root() -> Path:
    """`$ENVPIN_HOME`, else the user's data folder."""
    configured = os.environ.get("ENVPIN_HOME")
    if configured:
        return Path(configured).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("envpin", appauthor=False)
