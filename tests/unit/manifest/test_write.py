"""Writing manifests: whole or not at all, as the hook writes them, and read again as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from envpin.core.errors import DiskFullError, InputError
from envpin.manifest import write
from envpin.manifest.read import parse_manifest, read_manifest
from envpin.manifest.types import (
    Manifest,
)
from envpin.recording.injected import hook
from tests.support.manifests import FULL

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    write.write_manifest(tmp_path / "envpin.json", FULL)
    assert read_manifest(tmp_path) == read_manifest(tmp_path / "envpin.json") == FULL
    assert [path.name for path in tmp_path.iterdir()] == ["envpin.json"]


def test_the_hook_writes_what_the_controller_reads() -> None:
    text = hook("document").render(msgspec.to_builtins(FULL))
    assert parse_manifest(text.encode()) == FULL
    assert text == write.render_manifest(FULL), "completing a manifest changes only what it completes"


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "envpin.json"
    write.write_manifest(path, FULL)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError):
        write.write_manifest(path, Manifest(schema=1))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["envpin.json"]
    monkeypatch.undo()
    with pytest.raises(InputError, match="cannot be written"):
        write.write_manifest(tmp_path / "no" / "envpin.json", FULL)
