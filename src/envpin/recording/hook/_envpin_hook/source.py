"""The code of the run: the script that was started, and the files of its folder that it imported, with digests."""

from __future__ import annotations

import os
import sys
from typing import Dict, List, Optional

from _envpin_hook import artefacts

FILES = 200
_FILE_LIMIT = 4 * 1024 * 1024
_INSTALLED = ("site-packages", "dist-packages")

_cache: Dict[str, Dict[str, object]] = {}


def code() -> Dict[str, object]:
    """`script` and its digest, `module` where it was started by `-m`, `files`: path relative to `folder` -> sha256."""
    if "code" not in _cache:
        _cache["code"] = _code()
    return dict(_cache["code"])


def script() -> Dict[str, object]:
    """`script`, `module` and `directory` alone."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    return {
        "script": os.path.abspath(path) if isinstance(path, str) else None,
        "module": getattr(getattr(main, "__spec__", None), "name", None),
        "directory": _directory(),
    }


def _code() -> Dict[str, object]:
    found = script()
    started = found["script"]
    own = started if isinstance(started, str) else None
    found["sha256"] = _digest(own) if own is not None else None
    root = os.path.dirname(own) if own is not None and not _is_installed(own) else _directory()
    if root is not None and len(root) > 1:
        found["folder"] = root
        found["files"] = _files(root)
    return found


def _directory() -> Optional[str]:
    try:
        return os.getcwd()
    except OSError:
        return None


def _files(root: str) -> Dict[str, str]:
    paths: List[str] = []
    for loaded in list(sys.modules.values()):
        path = getattr(loaded, "__file__", None)
        if isinstance(path, str) and path.endswith(".py") and not _is_installed(path):
            path = os.path.abspath(path)
            if path.startswith(root + os.sep) and not path.startswith((sys.prefix + os.sep, sys.base_prefix + os.sep)):
                paths.append(path)
    found: Dict[str, str] = {}
    for path in sorted(set(paths))[:FILES]:
        digest = _digest(path)
        if digest is not None:
            found[os.path.relpath(path, root)] = digest
    return found


def _is_installed(path: str) -> bool:
    return any(part in _INSTALLED for part in path.split(os.sep))


def _digest(path: str) -> Optional[str]:
    try:
        return artefacts.sha256(path) if os.path.getsize(path) <= _FILE_LIMIT else None
    except OSError:
        return None
