"""The one door for files: regular ones only, bounded while reading, written whole, synced before they are named."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from envpin.core import files
from envpin.replay.publish import publish


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def _link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("behind"))
    path.symlink_to("behind")


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices have no names on Windows")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_folder, "a folder, not a regular file"),
        (_pipe, "a pipe, not a regular file"),
        (_link_to_pipe, "a pipe, not a regular file"),
        (_link_to_device, "a device, not a regular file"),
    ],
)
def test_open_regular_refuses_whatever_is_no_file(tmp_path: Path, make: object, words: str) -> None:
    make(tmp_path / "config.json")  # type: ignore[operator]
    for read in (files.open_regular, files.digest_of_file, lambda path: files.read_bounded(path, 100)):
        with pytest.raises(files.NotRegularError) as caught:
            read(tmp_path / "config.json")
        assert caught.value.strerror == words


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "loop"])
def test_open_regular_turns_every_impossible_name_into_an_os_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match=r".") as caught:
        files.open_regular(tmp_path / name)
    assert caught.value.strerror


def test_read_bounded_reads_up_to_the_limit_and_no_further(tmp_path: Path) -> None:
    file = tmp_path / "card"
    file.write_bytes(b"12345")
    assert files.read_bounded(file, 5) == b"12345"
    with pytest.raises(files.TooLargeError) as caught:
        files.read_bounded(file, 4)
    assert caught.value.strerror == "more than the 4 bytes that envpin reads"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_read_bounded_does_not_trust_the_size_that_a_file_is_said_to_have() -> None:
    assert Path("/proc/self/maps").stat().st_size == 0
    with pytest.raises(files.TooLargeError):
        files.read_bounded(Path("/proc/self/maps"), 10)


def test_write_atomically_replaces_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)  # the temporary's name may not be longer than a name may be
    files.write_atomically(path, "old\r\n")
    files.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_write_atomically_keeps_the_old_file_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "envpin.json"
    path.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["envpin.json"]


def test_write_atomically_is_durable_unless_asked_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = _recorded_syncs(monkeypatch, tmp_path / "file")
    files.write_atomically(tmp_path / "file", "text")
    assert synced == [((tmp_path / "file").stat().st_ino, False), (tmp_path.stat().st_ino, True)]
    synced.clear()
    files.write_atomically(tmp_path / "file", "text", durable=False)
    assert synced == []


def test_write_cache_makes_its_folder_and_forgives_a_disk_that_refuses(tmp_path: Path) -> None:
    files.write_cache(tmp_path / "a" / "b", "text")
    assert (tmp_path / "a" / "b").read_text() == "text"
    files.write_cache(tmp_path / "a" / "b" / "c", "text")  # `b` is a file


def test_publish_syncs_every_file_and_folder_before_the_rename_and_the_name_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut leaves behind a name is whole: nothing may be named before its bytes are on the disk."""
    staged, out = tmp_path / ".staged", tmp_path / "out"
    (staged / "tokenizer").mkdir(parents=True)
    (staged / "model.safetensors").write_bytes(b"weights")
    (staged / "tokenizer" / "vocab.json").write_text("{}")
    inside = {path.stat().st_ino for path in [staged, *staged.rglob("*")]}
    synced = _recorded_syncs(monkeypatch, out)
    publish(staged, out)
    assert {inode for inode, named in synced if not named} == inside
    assert [inode for inode, named in synced if named] == [tmp_path.stat().st_ino]


def test_digests_agree_with_hashlib_whichever_way_they_are_asked_for(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(data)
    blocks: list[int] = []
    expected = hashlib.sha256(data).hexdigest()
    assert files.digest(data) == expected
    assert files.digest_of_file(tmp_path / "file", blocks.append) == expected
    assert sum(blocks) == len(data)
    assert files.digest_of_file(str(tmp_path / "file")) == expected
    assert files.digest_by("sha512", tmp_path / "file") == hashlib.sha512(data).hexdigest()
    assert files.digest("ä") == hashlib.sha256("ä".encode()).hexdigest()


@pytest.mark.parametrize(("name", "known"), [("sha256", True), ("sha512", True), ("shake_128", False), ("crc", False)])
def test_knows_algorithm_leaves_out_those_of_variable_length(name: str, known: bool) -> None:
    assert files.knows_algorithm(name) is known


def _recorded_syncs(monkeypatch: pytest.MonkeyPatch, out: Path) -> list[tuple[int, bool]]:
    """Which inode each later fsync is of, and whether `out` had its name by then."""
    synced: list[tuple[int, bool]] = []
    real = os.fsync

    def recorded(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, out.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    return synced
