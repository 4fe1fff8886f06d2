"""Facts of this machine that the store depends on: its platform, and the folder that holds the store."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.torch_builds import MIRROR

if TYPE_CHECKING:
    from collections.abc import Mapping


def _machine() -> str:
    if hasattr(os, "uname"):
        return os.uname().machine.lower()
    import platform  # 2 ms at the start of every command elsewhere

    return platform.machine().lower()


def this_platform() -> dict[str, str]:
    """What decides which wheels fit here: system, machine and C library, without its patch level."""
    facts = {"system": sys.platform, "machine": _machine()}
    if sys.platform == "linux":
        try:
            facts["libc"] = os.confstr("CS_GNU_LIBC_VERSION") or "unknown"
        except (ValueError, OSError):
            facts["libc"] = "musl"  # musl has no such name
    elif sys.platform == "darwin":
        import platform

        facts["release"] = platform.mac_ver()[0].partition(".")[0]
    return facts


def platform_name() -> str:
    """This machine in the words of evidence: `linux-x86_64`."""
    return f"{sys.platform}-{_machine()}"


def driver_version(root: Path = Path("/")) -> str | None:
    """The version of the NVIDIA driver, or None where there is none. Starts no process."""
    for name in ("sys/module/nvidia/version", "proc/driver/nvidia/version"):
        try:
            text = (root / name).read_text(encoding="utf-8")
        except OSError:
            continue
        if (found := re.search(r"\b\d{3,}\.\d+(?:\.\d+)?\b", text)) is not None:
            return found[0]
    return None


def default_python() -> str:
    """The version of the Python that runs envpin, without its patch level."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def where_settings(source: Mapping[str, str]) -> dict[str, str]:
    """The settings of `source` that can change what a resolution finds."""
    names = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS",
             "UV_INDEX_STRATEGY", "UV_TORCH_BACKEND", "UV_CUDA_DRIVER_VERSION",
             "UV_AMD_GPU_ARCHITECTURE", MIRROR)  # fmt: skip
    return {name: source[name] for name in names if name in source}


def shared_roots() -> tuple[Path, ...]:
    """`$ENVPIN_SHARED`: stores of others, which are read and never written."""
    listed = os.environ.get("ENVPIN_SHARED", "").split(os.pathsep)
    return tuple(Path(one).expanduser().absolute() for one in listed if one)


def default_root() -> Path:
    """`$ENVPIN_HOME`, else the user's data folder."""
    configured = os.environ.get("ENVPIN_HOME")
    if configured:
        return Path(configured).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("envpin", appauthor=False)
