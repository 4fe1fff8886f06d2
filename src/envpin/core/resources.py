"""Where the data files that travel with envpin are: inside the wheel, or at the root of a checkout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from envpin.core.errors import InputError

_PACKAGE = Path(__file__).resolve().parent.parent


def data_path(name: str) -> Path:
    """The path of `compat_matrix.toml` or `lockfiles`.

    Raises:
        InputError: the installation is incomplete.
    """
    for root in (_PACKAGE / "data", _PACKAGE.parents[1]):
        candidate = root / name
        if candidate.exists():
            return candidate
    raise InputError(f"`{name}` is missing from this installation of envpin", path=name, hint="reinstall envpin")


def cache_path() -> Path:
    """Where what can be had again is kept: `$ENVPIN_HOME/cache`, else the platform's cache folder for envpin."""
    home = os.environ.get("ENVPIN_HOME")
    if home:
        return Path(home) / "cache"
    if sys.platform.startswith("linux"):
        # What platformdirs would say; importing it costs a third of what `matrix resolve` may take.
        configured = os.environ.get("XDG_CACHE_HOME", "").strip()
        return Path(configured or Path.home() / ".cache") / "envpin"
    import platformdirs

    return platformdirs.user_cache_path("envpin", appauthor=False)


def config_path() -> Path:
    """Where the user's own files are: `$ENVPIN_HOME`, else the platform's configuration folder for envpin."""
    home = os.environ.get("ENVPIN_HOME")
    if home:
        return Path(home)
    if sys.platform.startswith("linux"):
        configured = os.environ.get("XDG_CONFIG_HOME", "").strip()
        return Path(configured or Path.home() / ".config") / "envpin"
    import platformdirs

    return platformdirs.user_config_path("envpin", appauthor=False)
