"""Which index is the user's own: read from uv's and pip's settings, so that envpin and its uv ask where they ask."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpin.core.files import read_bounded
from envpin.core.toml_input import BadTomlError, parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LIMIT = 1 << 20  # a hundred times the longest reference configuration
PYPI = "https://pypi.org/simple"


def index_url(environ: Mapping[str, str] | None = None) -> str:
    """The user's own index: what uv is told, then what pip is told, then PyPI. uv is given the same (`pip_index`)."""
    variables = os.environ if environ is None else environ
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        value = variables.get(name, "").strip()
        if value:
            label, separator, url = value.partition("=")
            named = name == "UV_DEFAULT_INDEX" and separator and "://" not in label
            return (url if named else value).rstrip("/")
    return _uv_configured(variables) or pip_index(variables) or PYPI


def pip_index(variables: Mapping[str, str]) -> str | None:
    """The index that pip is told of, by a variable or by its configuration; None where it is told of none."""
    return variables.get("PIP_INDEX_URL", "").strip().rstrip("/") or _pip_configured(variables)


def _uv_configured(variables: Mapping[str, str]) -> str | None:
    """The default index of uv.toml. Where it only adds indexes that is PyPI: what pip is told does not count then. A
    file that cannot be read is told of by whoever runs uv."""
    added = False
    for path in uv_config_files(variables):
        try:
            document = uv_config(path)
        except (OSError, UnicodeDecodeError, BadTomlError):
            continue
        entries = document.get("index")
        listed = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
        pip = document.get("pip")
        found = [one.get("url") for one in listed if one.get("default") is True]
        found += [document.get("index-url"), pip.get("index-url") if isinstance(pip, dict) else None]
        url = next((one for one in found if isinstance(one, str) and one), None)
        if url is not None:
            return url.rstrip("/")
        added = added or bool(listed)
    return PYPI if added else None


def uv_config_files(source: Mapping[str, str]) -> Iterator[Path]:
    """The files of uv's configuration, the user's own first.

    Places and precedence: https://docs.astral.sh/uv/concepts/configuration-files/
    """
    if source.get("UV_NO_CONFIG", "").lower() not in {"", "0", "false"}:
        return
    if named := source.get("UV_CONFIG_FILE"):
        yield Path(named)  # then uv reads no other
        return
    yield from (path for path in _usual(source) if path.is_file())


def uv_config(path: Path) -> dict[str, Any]:
    """One of these files.

    Raises:
        OSError, UnicodeDecodeError, BadTomlError: it cannot be read.
    """
    return parse_toml(read_bounded(path, _LIMIT).decode("utf-8"))


def _usual(source: Mapping[str, str]) -> Iterator[Path]:
    if os.name == "nt":
        yield from (Path(source[name], "uv", "uv.toml") for name in ("APPDATA", "PROGRAMDATA") if source.get(name))
        return
    home = source.get("HOME") or "~"
    yield Path(source.get("XDG_CONFIG_HOME") or f"{home}/.config", "uv", "uv.toml").expanduser()
    for folder in (source.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":"):
        if folder:
            yield Path(folder, "uv", "uv.toml")
    yield Path("/etc/uv/uv.toml")


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
        try:
            text = read_bounded(path, _LIMIT).decode("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if re.search(r"^\s*index-url\s*[=:]", text, re.MULTILINE) is None:
            continue  # before configparser is loaded for it
        import configparser

        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text)
        except configparser.Error:
            continue  # pip itself reports a broken file of its own
        for section in ("install", "global"):
            value = parser.get(section, "index-url", fallback="").strip()
            if value:
                return value.rstrip("/")
    return None
