"""One memory for all readers of a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.read_once import ReadOnce
from tests.support.checkpoints import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path


def test_small_file_is_the_one_of_the_first_reading(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"first")
    folder = ReadOnce(tmp_path)
    assert (folder / "config.json").read_bytes() == b"first"
    (tmp_path / "config.json").write_bytes(b"second")
    with (folder / "config.json").open("rb") as stream:
        assert stream.read() == b"first"
    assert (folder.confined() / "config.json").read_bytes() == b"first"
    assert (ReadOnce(tmp_path) / "config.json").read_bytes() == b"second"


def test_weights_of_an_adapter_stay_open_and_are_read_at_any_place(tmp_path: Path) -> None:
    path = tmp_path / "adapter_model.safetensors"
    write_safetensors(path, {"a": (4, 4)})
    whole = path.read_bytes()
    folder = ReadOnce(tmp_path)
    with (folder / path.name).open("rb") as first, (folder / path.name).open("rb") as second:
        path.unlink()  # both read the file that was opened
        (tmp_path / path.name).write_bytes(b"")
        first.seek(8)
        assert second.read(3) == whole[:3]
        assert first.read() == whole[8:]
        assert second.read() == whole[3:]
        second.seek(-5, 2)
        assert second.read() == whole[-5:]


def test_shards_of_a_base_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"first")
    folder = ReadOnce(tmp_path)
    assert (folder / path.name).read_bytes() == b"first"
    path.write_bytes(b"second")
    assert (folder / path.name).read_bytes() == b"second"


def test_what_leads_out_is_not_there_in_the_confined_view(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "README.md").symlink_to(tmp_path / "secret")
    folder = ReadOnce(tmp_path / "folder")
    assert (folder / "README.md").read_bytes() == b"secret"  # kept from here on
    confined = folder.confined()
    assert not (confined / "README.md").is_file()
    with pytest.raises(FileNotFoundError):
        (confined / "README.md").read_bytes()
    assert confined.refused == ["README.md"]
