"""Where the cache of huggingface_hub is on this machine, and what lies where in it.

Every command finds it here, so that none finds a model that another does not. The layout is documented:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from envpin.core.hub_id import is_commit, is_hub_id, is_revision

_MODELS = "models--"
# The longest name of a branch or tag is far below this; a ref file holds one commit.
_REF_BYTES = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")


def hub_cache() -> Path:
    """The folder of the Hub cache, by the variables that huggingface_hub honours, in its order. An empty one is unset.

    https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
    """
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return _expanded(os.environ[variable])
    if os.environ.get("HF_HOME"):
        return _expanded(os.environ["HF_HOME"]) / "hub"
    return _expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface" / "hub"


def storage_of(hub_id: str, cache: Path | None = None) -> Path:
    """The folder that a cache keeps one model in, there or not."""
    return (hub_cache() if cache is None else cache) / f"{_MODELS}{hub_id.replace('/', '--')}"


def snapshot_of(storage: Path, commit: str) -> Path:
    """The folder of one commit in the folder of its model, there or not."""
    return storage / "snapshots" / commit


def blob_of(storage: Path, sha256: str) -> Path:
    """The file that holds these bytes, there or not."""
    return storage / "blobs" / sha256


def ref_of(storage: Path, name: str) -> Path:
    """The file that says which commit a branch or tag means, there or not."""
    return storage / "refs" / name


def commit_of(storage: Path, revision: str | None) -> str | None:
    """The commit that a branch, a tag or a commit means here (None: `main`); None where the cache does not know it."""
    name = revision or "main"
    if is_commit(name):
        return name
    if not is_revision(name):
        return None
    try:
        with ref_of(storage, name).open(encoding="ascii") as stream:
            found = stream.read(_REF_BYTES).strip()
    except (OSError, ValueError):
        return None
    return found if is_revision(found) else None


def snapshots_of(hub_id: str, revision: str | None = None) -> list[Path]:
    """Every snapshot of a model that the cache holds: that of `revision` first, then that of `main`, then by commit."""
    if not is_hub_id(hub_id):
        return []
    storage = storage_of(hub_id)
    try:
        found = sorted((storage / "snapshots").iterdir())
    except OSError:
        return []
    order = [commit_of(storage, revision), commit_of(storage, None)]
    return sorted(found, key=lambda one: order.index(one.name) if one.name in order else len(order))


def cached_identity(path: Path) -> tuple[str, str] | None:
    """The repository and the commit of a snapshot in a Hub cache; None for any other folder."""
    storage = path.parent.parent
    if path.parent.name == "snapshots" and storage.name.startswith(_MODELS):
        return storage.name.removeprefix(_MODELS).replace("--", "/", 1), path.name
    return None


def blobs_beside(snapshot: Path) -> Path | None:
    """The folder that the links of a snapshot lead to; None for any other folder."""
    return snapshot.parent.parent / "blobs" if cached_identity(snapshot) is not None else None


def published_sha256(file: Path) -> str | None:
    """The sha256 under which a cache keeps a large file; None for a small one, and outside of a cache."""
    try:
        blob = file.readlink()
    except (OSError, ValueError):
        return None
    return blob.name if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name) else None


def _expanded(text: str) -> Path:
    path = Path(os.path.expandvars(text))
    try:
        return path.expanduser()
    except RuntimeError:  # no home folder, or that of somebody whom this machine does not know
        return path
