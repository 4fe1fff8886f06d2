"""The user's own uv.toml, cut down to what says where things come from.

A setting that says *what* is installed, or into which folder (`[pip] target`, `prefix`, `no-emit-package`), would make
another environment of the same lock, or none that only looks like one. uv therefore gets the rest as a file of its own.
Places and precedence: https://docs.astral.sh/uv/concepts/configuration-files/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envpin.core.errors import InputError
from envpin.core.index_settings import uv_config, uv_config_files
from envpin.core.toml_input import BadTomlError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# https://docs.astral.sh/uv/reference/settings/
_WHERE = frozenset(
    {"allow-insecure-host", "cache-dir", "concurrent-builds", "concurrent-downloads", "concurrent-installs",
     "extra-index-url", "find-links", "http-proxy", "https-proxy", "index", "index-strategy", "index-url",
     "keyring-provider", "link-mode", "native-tls", "no-index", "no-proxy", "offline", "pypy-install-mirror",
     "python-downloads", "python-downloads-json-url", "python-install-mirror", "python-preference", "system-certs",
     "torch-backend"}
)  # fmt: skip
# A linked file is one of uv's cache: whoever cleans that takes the environment along, and an edit there goes unseen.
_LINKED = ("link-mode", "symlink")
# Of this machine only: not for a lock that is meant for everybody.
_LOCAL_ONLY = frozenset({"find-links", "torch-backend"})


def where_config(source: Mapping[str, str], *, portable: bool = False) -> dict[str, Any]:
    """What the user's configuration says of places, as a uv.toml holds it.

    Raises:
        InputError: a configuration cannot be read.
    """
    found: dict[str, Any] = {}
    for path in uv_config_files(source):
        # The first file is the nearest to the user; of a list of indexes, its entries are asked first.
        for key, value in _where(_read(path), portable=portable).items():
            if key == "index" and isinstance(found.get(key), list) and isinstance(value, list):
                found[key] = found[key] + value
            elif key == "pip":
                found[key] = {**value, **found.get(key, {})}
            else:
                found.setdefault(key, value)
    return found


def wants_offline(source: Mapping[str, str]) -> bool:
    """Whether uv is told to stay off the network, by a variable or by the configuration.

    Raises:
        InputError: a configuration cannot be read.
    """
    said = source.get("UV_OFFLINE", "").lower()
    return said not in {"0", "false", "no", "off", "n", "f"} if said else where_config(source).get("offline") is True


def _where(document: Mapping[str, Any], *, portable: bool) -> dict[str, Any]:
    kept = _WHERE - _LOCAL_ONLY if portable else _WHERE
    found = {key: value for key, value in document.items() if key in kept and (key, value) != _LINKED}
    pip = document.get("pip")
    if isinstance(pip, dict) and (
        some := {key: value for key, value in pip.items() if key in kept and (key, value) != _LINKED}
    ):
        found["pip"] = some
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return uv_config(path)
    except (OSError, UnicodeDecodeError, BadTomlError) as fault:
        raise InputError(
            f"uv's configuration `{path}` cannot be read: {fault}",
            path=path,
            hint="correct that file, or set UV_NO_CONFIG=1",
        ) from fault
