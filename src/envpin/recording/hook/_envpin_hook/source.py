"""The code of the run: the script that was started, and the files that it imported and no package installed, with
digests."""

from __future__ import annotations

import os
import sys
import time
from typing import Dict, List, Optional

import _envpin_hook
from _envpin_hook import artefacts

FILES = 500
_ROOTS = 50
_FILE_LIMIT = 4 * 1024 * 1024
_INSTALLED = ("site-packages", "dist-packages")

_cache: Dict[str, Dict[str, object]] = {}
_began = time.time()
_started_in: Dict[str, Optional[str]] = {}
_early: Dict[str, str] = {}  # path of the script -> its digest when the first library was imported


def code() -> Dict[str, object]:
    """`script` and its digest, `module` where it was started by `-m`, `files`: path relative to `folder`, or a whole
    one, -> sha256. `named`: files that the command names, likewise. `path`: the folders that they were imported from.
    `left_out`: how many files have no digest."""
    if "code" not in _cache:
        _cache["code"] = _code()
    return dict(_cache["code"])


def script() -> Dict[str, object]:
    """`script`, `module` and `directory` alone."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    return {
        "script": os.path.join(_directory() or os.curdir, path) if isinstance(path, str) else None,
        "module": getattr(getattr(main, "__spec__", None), "name", None),
        "directory": _directory(),
    }


def note_beginning() -> None:
    """Digest the script when the first library is imported: it may be edited while it trains. And note where it was
    started, before it goes elsewhere."""
    _directory()
    own = script()["script"]
    if isinstance(own, str) and own not in _early:
        digest = _digest(own)
        if digest is not None:
            _early[own] = digest


def _code() -> Dict[str, object]:
    found = script()
    started, directory = found["script"], _directory()
    own = started if isinstance(started, str) else None
    if own is not None:
        found["sha256"] = _early.get(own) or _digest(own)
    root = directory
    if own is not None and not _is_installed(own) and (root is None or not _is_within(own, root)):
        root = os.path.dirname(own)
    found["named"] = _told().get("named")
    if root is not None and len(root) > 1:
        found["folder"] = root
        loaded = _loaded()
        found["files"], left_out = _files(sorted(loaded), root)
        found["left_out"] = left_out or None
        beside = os.path.dirname(own) if own is not None else root  # Python itself looks there first
        found["path"] = [one for one in _roots(loaded) if one != beside] or None
    return found


def _told() -> Dict[str, object]:
    """What `envpin record` wrote down before the run began."""
    if _envpin_hook.run_folder is None:
        return {}
    return artefacts.json_file(os.path.join(_envpin_hook.run_folder, "run.json")) or {}


def _directory() -> Optional[str]:
    """Where the command was started: a script may go elsewhere."""
    if "directory" not in _started_in:
        try:
            told = _told().get("directory")
            _started_in["directory"] = told if isinstance(told, str) else os.getcwd()
        except OSError:
            _started_in["directory"] = None
    return _started_in["directory"]


def _loaded() -> Dict[str, str]:
    """The loaded files that belong to no package and not to Python, with a name of their module."""
    library, own = os.path.dirname(os.__file__), os.path.dirname(os.path.abspath(__file__))
    found: Dict[str, str] = {}
    for name, loaded in list(sys.modules.items()):
        path = getattr(loaded, "__file__", None)
        if isinstance(path, str) and path.endswith(".py") and not _is_installed(path):
            path = os.path.abspath(path)
            if not _is_within(path, library) and not _is_within(path, own) and os.path.isfile(path):
                found.setdefault(path, name)  # torch.ops says that its file is `_ops.py`
    return found


def _roots(loaded: Dict[str, str]) -> List[str]:
    """The folders in which Python found them, in its order: of PYTHONPATH, of an editable install, of a script's own
    making."""
    found: List[str] = []
    for path, name in loaded.items():
        parts = name.split(".")
        own = path[: -len(".py")].split(os.sep)
        if own[-1] == "__init__":
            own.pop()
        root = os.sep.join(own[: -len(parts)])
        if own[-len(parts) :] == parts and root and root not in found:
            found.append(root)
    order = [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str)]
    return sorted(found, key=lambda one: order.index(one) if one in order else len(order))[:_ROOTS]


def _files(listed: List[str], root: str) -> "tuple[Dict[str, str], int]":
    """Their digests; and of how many it is not known."""
    found: Dict[str, str] = {}
    left_out = max(0, len(listed) - FILES)
    for path in listed[:FILES]:
        digest = _early.get(path) or _unchanged(path)
        if digest is None:
            left_out += 1
        else:
            found[os.path.relpath(path, root) if _is_within(path, root) else path] = digest
    return found, left_out


def _unchanged(path: str) -> Optional[str]:
    """The digest of a file that was not changed since this process began: else it is not what was imported."""
    try:
        return _digest(path) if os.stat(path).st_mtime <= _began else None
    except OSError:
        return None


def _is_within(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_installed(path: str) -> bool:
    return any(part in _INSTALLED for part in path.split(os.sep))


def _digest(path: str) -> Optional[str]:
    try:
        return artefacts.sha256(path) if os.path.getsize(path) <= _FILE_LIMIT else None
    except OSError:
        return None
