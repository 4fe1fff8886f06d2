"""Which index is the user's own: read from uv's and pip's settings, so that envpin asks where they ask."""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

PYPI = "https://pypi.org/simple"


def index_url(environ: Mapping[str, str] | None = None) -> str:
    """The user's own index: what uv is told, then what pip is told, then PyPI."""
    variables = os.environ if environ is None else environ
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        value = variables.get(name, "").strip()
        if value:
            label, separator, url = value.partition("=")
            named = name == "UV_DEFAULT_INDEX" and separator and "://" not in label
            return (url if named else value).rstrip("/")
    return _pip_configured(variables) or PYPI


def _pip_configured(variables: Mapping[str, str]) -> str | None:
    """`index-url` of pip's configuration files; the most specific file that has one wins."""
    home = Path(variables.get("HOME") or Path.home())
    user = Path(variables.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    candidates = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip" / "pip.conf", user]
    if variables.get("APPDATA"):
        candidates.append(Path(variables["APPDATA"]) / "pip" / "pip.ini")
    if variables.get("PIP_CONFIG_FILE"):
        candidates.append(Path(variables["PIP_CONFIG_FILE"]))
    for path in reversed(candidates):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue  # pip itself reports a broken file of its own
        for section in ("install", "global"):
            value = parser.get(section, "index-url", fallback="").strip()
            if value:
                return value.rstrip("/")
    return None


def without_credentials(url: str) -> str:
    """The URL as it may appear in a message."""
    split = urlsplit(url)
    return urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2]))
