"""Links that must not leave a folder: one policy for what is read and for what is copied."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.confined import Confined, leads_out, roots_of
from envpin.core.errors import RefusedError
from envpin.replay.publish import copy_companions

if TYPE_CHECKING:
    from pathlib import Path

# The link `tokenizer.json` in a snapshot of a Hub cache, by where it leads, and whether it may.
LINKS = {
    "own": ("vocab.json", True),
    "below": ("tokenizer/vocab.json", True),
    "blob": ("../../blobs/0123", True),
    "another snapshot": ("../other/vocab.json", False),
    "another model's blob": ("../../../models--a--c/blobs/0123", False),
    "secret": ("{}/secret", False),
    "loop": ("tokenizer.json", False),
    "nowhere": ("missing", True),  # it is inside, and not there
}


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    model = tmp_path / "models--a--b"
    folder = model / "snapshots" / "main"
    for file in (
        folder / "vocab.json", folder / "tokenizer" / "vocab.json", model / "blobs" / "0123",
        model / "snapshots" / "other" / "vocab.json", tmp_path / "models--a--c" / "blobs" / "0123", tmp_path / "secret",
    ):  # fmt: skip
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    return folder


@pytest.mark.parametrize("name", LINKS)
def test_reading_and_copying_follow_the_same_links(snapshot: Path, tmp_path: Path, name: str) -> None:
    target, allowed = LINKS[name]
    link = snapshot / "tokenizer.json"
    link.symlink_to(target.format(tmp_path))
    confined = Confined(snapshot)
    assert leads_out(link, roots_of(snapshot)) is not allowed
    assert (confined / link.name).exists() is (allowed and link.exists())
    assert confined.refused == ([] if allowed else [link.name])
    staged = tmp_path / "staged"
    staged.mkdir()
    if allowed or not link.exists():
        copy_companions(adapter=snapshot, base=snapshot, staged=staged)
        assert (staged / link.name).is_file() is link.exists()
    else:
        with pytest.raises(RefusedError, match="outside its folder"):
            copy_companions(adapter=snapshot, base=snapshot, staged=staged)


def test_a_folder_named_blobs_is_no_cache(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "x").write_text("{}")
    (folder / "tokenizer.json").symlink_to("../../blobs/x")
    assert leads_out(folder / "tokenizer.json", roots_of(folder))


def test_confined_opens_regular_files_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(OSError, match="a pipe, not a regular file"):
        (Confined(tmp_path) / "config.json").read_bytes()
