"""What lies where a file should be: pointers, pages, answers of servers. Each by its first bytes."""

from __future__ import annotations

import pytest

from envpin.core.json_input import BadJsonError, parse
from envpin.core.stand_ins import answer, stand_in

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 902\n"
POINTERS = {
    "lfs": (LFS, "lfs-pointer", "a git-lfs pointer"),
    "xet": (b"# xet version 0\nfilesize = 100\n", "lfs-pointer", "a git-xet pointer"),
    "annex": (b"/annex/objects/MD5E-s100--aa.bin\n", "lfs-pointer", "a git-annex pointer"),
    "annex, as a link": (b"../.git/annex/objects/aa/bb/MD5E-s100--aa\n", "lfs-pointer", "a git-annex pointer"),
    "page": (b"\n<!DOCTYPE html><html>", "html-instead-of-weights", "a web page"),
}


@pytest.mark.parametrize("kind", POINTERS)
def test_a_stand_in_is_named_and_json_says_so(kind: str) -> None:
    data, code, words = POINTERS[kind]
    found = stand_in(data)
    assert found is not None
    assert (found.code, found.words) == (code, words)
    with pytest.raises(BadJsonError, match=words) as raised:
        parse(data)
    assert raised.value.instead == found


@pytest.mark.parametrize("data", [b"", b"{}", b"PK\x03\x04", b"\x80\x02}", b"about annex/objects/ in prose"])
def test_other_bytes_are_no_stand_in(data: bytes) -> None:
    assert stand_in(data) is None


def test_an_answer_is_a_short_text_and_nothing_binary() -> None:
    assert answer(b"Entry not found") == "Entry not found"
    assert answer(b"Invalid username\nor password.\n") == "Invalid username or password."
    assert answer(b"") is None
    assert answer(b"\x10\x00\x00\x00\x00\x00\x00\x00{}") is None
    assert answer(b"\xff\xfe") is None
    assert answer(b"x" * 5000) is None
