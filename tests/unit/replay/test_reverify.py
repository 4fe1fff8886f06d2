"""`envpin verify`: a changed byte is named, by file and by tensor."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envpin.cli.main import main
from envpin.core.errors import InputError
from envpin.replay.record import FILE_NAME
from envpin.replay.reverify import reverify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZES = {"delta": 70_001, "alpha": 40, "beta": 8, "gamma": 100}


def shard(sizes: dict[str, int], seed: int) -> tuple[bytes, dict[str, tuple[int, bytes]]]:
    """A safetensors file of bytes, and where each tensor lies in it."""
    header: dict[str, Any] = {}
    data = b""
    for name, size in sizes.items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [len(data), len(data) + size]}
        data += (bytes((seed + place * 7) % 251 for place in range(251)) * (size // 251 + 1))[:size]
    text = json.dumps(header).encode()
    start = 8 + len(text)
    where = {
        name: (start + entry["data_offsets"][0], data[slice(*entry["data_offsets"])]) for name, entry in header.items()
    }
    return struct.pack("<Q", len(text)) + text + data, where


def sums(data: bytes) -> str:
    """The checksum of blocks, word by word."""
    checksum = 0
    for first in range(0, len(data), 65536):
        block = data[first : first + 65536].ljust(65536, b"\0")
        total = sum(struct.unpack("<8192Q", block))
        checksum = zlib.crc32((total % 2**64).to_bytes(8, "little"), checksum)
    return f"sums64k:{checksum:08x}"


def merged(folder: Path, checksum: Callable[[bytes], object] = sums) -> Path:
    folder.mkdir()
    tensors, files = {}, {}
    for number in (1, 2):
        name = f"model-{number}.safetensors"
        content, where = shard({f"{key}{number}": size for key, size in SIZES.items()}, number)
        (folder / name).write_bytes(content)
        files[name] = hashlib.sha256(content).hexdigest()
        tensors.update({key: [name, checksum(held), offset, len(held)] for key, (offset, held) in where.items()})
    (folder / "config.json").write_text("{}")
    files["config.json"] = hashlib.sha256(b"{}").hexdigest()
    record = {
        "schema": 1, "envpin": "0.1.0", "created": "2026-01-01T00:00:00Z", "inputs_digest": "0" * 32,
        "verdict": {"kind": "identical", "differences": []}, "adapter": {"path": "a", "files": {}},
        "base": {"path": "b", "files": {}}, "engine": "stream", "embedding": {}, "merge": {"tensors": tensors},
        "environment": {"key": "k", "lock_sha256": "0", "python": "3.11", "packages": {}, "basis": "manifest"},
        "verification": {}, "files": files,
    }  # fmt: skip
    (folder / FILE_NAME).write_text(json.dumps(record))
    return folder


def test_what_was_not_touched_is_intact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = merged(tmp_path / "out")
    assert main(["verify", str(folder)]) == 0
    assert "intact: 3 files" in capsys.readouterr().out


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    place=st.integers(min_value=0, max_value=300_000),
    flip=st.integers(min_value=1, max_value=255),
    checksum=st.sampled_from([sums, zlib.crc32]),
)
def test_any_changed_byte_is_named_by_its_tensor(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int, checksum: Callable[[bytes], object]
) -> None:
    folder = merged(tmp_path_factory.mktemp("merged") / "out", checksum)
    path = folder / "model-2.safetensors"
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place] ^= flip
    path.write_bytes(content)
    found = reverify(folder)
    assert not found.intact
    (difference,) = found.differences
    _, where = shard({f"{key}2": size for key, size in SIZES.items()}, 2)
    hit = tuple(name for name, (offset, held) in where.items() if offset <= place < offset + len(held))
    assert difference.file == "model-2.safetensors"
    assert difference.tensors == hit
    if not hit:
        assert "header" in difference.detail


def test_words_that_changed_places_are_no_change_of_the_header(tmp_path: Path) -> None:
    folder = merged(tmp_path / "out")
    path = folder / "model-1.safetensors"
    _, where = shard({f"{key}1": size for key, size in SIZES.items()}, 1)
    offset, _ = where["delta1"]
    content = bytearray(path.read_bytes())
    content[offset : offset + 16] = content[offset + 8 : offset + 16] + content[offset : offset + 8]
    path.write_bytes(content)
    (difference,) = reverify(folder).differences
    assert difference.tensors == ()
    assert "header changed, or values within a tensor changed places" in difference.detail


@pytest.mark.parametrize("checksum", ["sums64k:", "sums64k:xyz", "sums64k:123456789", "12345678", -1, 1.5, None, True])
def test_what_is_no_checksum_is_no_record(tmp_path: Path, checksum: object) -> None:
    folder = merged(tmp_path / "out", lambda _: checksum)
    with pytest.raises(InputError, match="not the record of a merge"):
        reverify(folder)


def test_missing_shorter_and_added_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = merged(tmp_path / "out")
    (folder / "config.json").unlink()
    shorter = (folder / "model-1.safetensors").read_bytes()[:-30]
    (folder / "model-1.safetensors").write_bytes(shorter)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "README.md").write_text("a card of mine")
    assert main(["verify", str(folder), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert not answer["intact"]
    found = {one["file"]: one for one in answer["differences"]}
    assert {name: one["what"] for name, one in found.items()} == {
        "config.json": "missing", "model-1.safetensors": "changed", "adapter_config.json": "added",
    }  # fmt: skip
    assert found["model-1.safetensors"]["tensors"] == ["gamma1"]


def test_a_file_that_was_added_and_nobody_loads_changes_no_answer(tmp_path: Path) -> None:
    folder = merged(tmp_path / "out")
    for name in ("notes.txt", "README.md", "envpin.json", "train.log"):
        (folder / name).write_text("mine")
    assert reverify(folder).intact


@pytest.mark.parametrize("name", [
    "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "model.safetensors.index.json",
    "modeling_evil.py", "chat_template.jinja", "tokenizer.json", "tokenizer.model", "vocab.txt", "pytorch_model.bin",
    "generation_config.json", "MODEL.SAFETENSORS",
])  # fmt: skip
def test_an_added_file_that_loaders_read_is_not_intact(name: str, tmp_path: Path) -> None:
    folder = merged(tmp_path / "out")
    (folder / name).write_text("theirs")
    assert not reverify(folder).intact


@pytest.mark.parametrize("change", [
    {"merge": {"tensors": {"w": ["model-1.safetensors", 1, 10**30, 1]}}}, {"merge": {"tensors": {"w": [1, 2, 3, 4]}}},
    {"merge": {"tensors": {"w": ["model-1.safetensors", 1, -5, 1]}}}, {"merge": {"tensors": [1]}},
    {"merge": {"tensors": {"w": ["model-1.safetensors", True, 0, 1]}}}, {"merge": {"tensors": {"w": None}}},
    {"merge": {"tensors": {"w": ["model-1.safetensors", 1.5, 0, 1]}}}, {"files": {"a" * 300: "0" * 64}},
    {"files": {"a\x00b": "0" * 64}}, {"files": {"\x1b[2J": "0" * 64}}, {"files": {"": "0" * 64}},
    {"files": {"model-1.safetensors": "no digest"}}, {"files": {"/etc/passwd": "0" * 64}},
    {"files": {str(number): "0" * 64 for number in range(20_001)}}, {"created": 5}, {"files": None},
])  # fmt: skip
def test_a_record_that_no_merge_writes_is_one_clear_error(change: dict[str, Any], tmp_path: Path) -> None:
    folder = merged(tmp_path / "out")
    record = json.loads((folder / FILE_NAME).read_text())
    (folder / FILE_NAME).write_text(json.dumps(record | change))
    (folder / "model-1.safetensors").write_bytes(b"changed")
    with pytest.raises(InputError, match="is not the record of a merge"):
        reverify(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "has no envpin-merge.json"),
        ("", "not the record of a merge"),
        ("[]", "not the record of a merge"),
        ('{"schema": 9}', "schema 9"),
        ('{"schema": 1}', "not the record of a merge"),
    ],
)
def test_a_record_that_cannot_be_read_is_one_clear_error(
    tmp_path: Path, content: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / FILE_NAME).write_text(content)
    assert main(["verify", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_a_hostile_record_reads_nothing_outside_its_folder(tmp_path: Path) -> None:
    folder = merged(tmp_path / "out")
    (tmp_path / "secret").write_text("x")
    record = json.loads((folder / FILE_NAME).read_text())
    record["files"]["../secret"] = "0"
    (folder / FILE_NAME).write_text(json.dumps(record))
    with pytest.raises(InputError, match="outside its folder"):
        reverify(folder)


@pytest.mark.parametrize("files", [{}, {"config.json": hashlib.sha256(b"{}").hexdigest()}])
def test_a_record_that_lists_no_weights_is_no_pass(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = merged(tmp_path / "m")
    record = json.loads((folder / FILE_NAME).read_text())
    (folder / FILE_NAME).write_text(json.dumps(record | {"files": files}))
    assert not reverify(folder).intact
    assert main(["verify", str(folder)]) == 1
    assert "not verified" in capsys.readouterr().out
