"""Write a manifest: a sibling, synced, renamed. Readable by people: a line for each distribution, tensor and field."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import msgspec

from envpin.core.errors import DiskFullError, InputError
from envpin.core.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.manifest.types import Manifest


def render_manifest(manifest: Manifest) -> str:
    """The text of the manifest. What is absent is left out, so that reading it again gives the same manifest."""
    document: dict[str, object] = msgspec.to_builtins(manifest)
    parts = [f"{json.dumps(key)}: {_part(value)}" for key, value in document.items() if value is not None]
    return "{\n  " + ",\n  ".join(parts) + "\n}\n"


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write `manifest` to the file `path`, or leave what was there.

    Raises:
        DiskFullError: no room.
        InputError: the folder does not exist or cannot be written to.
    """
    write_text(path, render_manifest(manifest))


def write_text(path: Path, text: str) -> None:
    """As `write_manifest`, for any text."""
    try:
        write_atomically(path, text)
    except OSError as failed:
        if failed.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(f"`{path}` cannot be written: no space left", hint="free some space") from failed
        raise InputError(f"`{path}` cannot be written: {failed.strerror}", path=path) from failed


def _part(value: object) -> str:
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {json.dumps(one, ensure_ascii=False)}" for key, one in value.items()]
        return "{\n    " + ",\n    ".join(lines) + "\n  }"
    if isinstance(value, list):
        return "[\n    " + ",\n    ".join(json.dumps(one, ensure_ascii=False) for one in value) + "\n  ]"
    return json.dumps(value, ensure_ascii=False)
