"""Text that people wrote: its form is told from its bytes, and one form comes out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from envpin.core import text_input
from envpin.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "- PEFT 0.11.1\n- Übung, 训练, 🤗\n\n- Transformers 4.41.2\n"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"", "utf-8"),
        (b"a", "utf-8"),
        (TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-8-sig"), "utf-8-sig"),
        (TEXT.encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "utf-16"),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("utf-32"), "utf-32"),
        ("一丁 transformers 4.41.2\n".encode("utf-16-le"), "utf-16-le"),
        (b"lost power here " + bytes(500), "utf-8"),  # a log whose last block never came
        (b"a\0b", "utf-8"),
    ],
)
def test_encoding_of_knows_marks_and_the_zeros_of_utf_16(data: bytes, encoding: str) -> None:
    assert text_input.encoding_of(data) == encoding


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_plain_gives_one_form_for_every_form(encoding: str, end: str) -> None:
    data = TEXT.replace("\n", end).encode(encoding)
    assert text_input.plain(data) == TEXT
    assert text_input.plain(data, strict=True) == TEXT
    decode = text_input.to_utf8(data[:7])
    pieces = [data[at : at + 7] for at in range(0, len(data), 7)]  # characters and line ends are cut everywhere
    assert text_input.plain_block(b"".join(decode(piece) for piece in pieces)).decode() == TEXT


def test_plain_keeps_what_is_around_a_byte_that_cannot_be_decoded() -> None:
    assert text_input.plain(b"caf\xe9\r\n- PEFT 0.11.1") == "caf\ufffd\n- PEFT 0.11.1"
    with pytest.raises(UnicodeDecodeError):
        text_input.plain(b"caf\xe9", strict=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"caf\xe9", "is not text: byte 3 is not utf-8"),
        (b"x" * 11, "more than the 10 bytes"),
        ("folder", "a folder, not a regular file"),
        ("pipe", "a pipe, not a regular file"),
        ("loop", "symbolic links"),
    ],
)
def test_read_text_turns_every_fault_into_one_clear_error(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "requirements.txt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()
    elif content == "pipe":
        os.mkfifo(path)
    elif content == "loop":
        path.symlink_to(path.name)
    with pytest.raises(InputError, match=words) as caught:
        text_input.read_text(path, limit=10)
    assert "\n" not in caught.value.message


def test_read_beginning_stops_at_its_limit(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes("äöü\r\nmore".encode("utf-16"))
    assert text_input.read_beginning(tmp_path / "README.md", 2 + 2 * 5) == "äöü\n"
