"""A file whose bytes come in ranges: what is read equals the bytes, and what was fetched is not fetched again."""

from __future__ import annotations

import contextlib
import io
import random
import zipfile
from functools import partial

import pytest

from envpin.core.errors import InputError
from envpin.core.range_file import RangeFile
from envpin.remote.index.ranges import WheelContents, open_wheel

DATA = bytes(at % 251 for at in range(5_000))


class Server:
    """Gives ranges of `DATA`, remembers which; `ignores` ranges on demand, or sends too little."""

    def __init__(self, data: bytes = DATA, *, ignores: bool = False, short: int = 0) -> None:
        self.data, self.ignores, self.short = data, ignores, short
        self.asked: list[tuple[int, int]] = []

    def __call__(self, start: int, end: int) -> tuple[int, bytes]:
        self.asked.append((start, end))
        return (0, self.data) if self.ignores else (start, self.data[start : end - self.short])


@pytest.mark.parametrize("block", [1, 64, 4096])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("ignores", [True, False])
def test_reads_give_the_bytes_and_kept_ones_are_asked_for_once(block: int, keep: bool, ignores: bool) -> None:
    chance = random.Random(block)
    server = Server(ignores=ignores)
    file = RangeFile(len(DATA), server, keep=keep, block=block)
    plain = io.BytesIO(DATA)
    for _ in range(300):
        at, size = chance.randrange(len(DATA) + 50), chance.choice([-1, 0, 1, 30, 400])
        assert file.seek(at) == plain.seek(at)
        assert file.read(size) == plain.read(size)
        if size and at < len(DATA):
            assert file.tell() == plain.tell()
    if keep and not ignores:
        seen: set[int] = set()
        for start, end in server.asked:
            assert start not in seen, "the first byte of a request was here already"
            assert end - 1 not in seen
            seen |= set(range(start, end))
    if keep and ignores:
        assert len(server.asked) == 1


def test_seek_counts_from_the_beginning_the_place_and_the_end() -> None:
    file = RangeFile(len(DATA), Server())
    assert file.seek(-10, io.SEEK_END) == len(DATA) - 10
    assert file.seek(4, io.SEEK_CUR) == len(DATA) - 6
    buffer = bytearray(4)
    assert file.readinto(buffer) == 4
    assert bytes(buffer) == DATA[-6:-2]
    assert file.seek(-99_999, io.SEEK_CUR) == 0


def test_neighbours_come_in_one_request_and_what_is_held_in_none() -> None:
    data = bytes(200_000)
    server = Server(data)
    file = RangeFile(len(data), server, held=[(190_000, data[190_000:])])
    file.prefetch_together([(10, 5), (20_000, 5), (100_000, 10), (195_000, 50)])
    assert server.asked == [(10, 20_005), (100_000, 100_010)]


def test_a_server_that_sends_too_little_gives_what_it_sent() -> None:
    file = RangeFile(len(DATA), Server(short=3))
    file.seek(10)
    assert file.read(10) == DATA[10:17]


class Answer:
    """What a server says to a request for a range of `data`, or the whole where it `ignores` them."""

    def __init__(self, data: bytes, span: str, *, ignores: bool) -> None:
        first, _, last = span.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(data) - int(last))
        end = int(last) + 1 if first else len(data)
        self.status = 200 if ignores else 206
        self.headers = {} if ignores else {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
        self.data = data if ignores else data[start:end]


@pytest.mark.parametrize("ignores", [True, False])
def test_open_wheel_asks_for_the_end_and_then_for_the_members_alone(ignores: bool) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("peft/__init__.py", "first")
        archive.writestr("peft/large.bin", bytes(300_000))
        archive.writestr("peft/version.py", "last")
    asked: list[str] = []

    def ask(span: str) -> Answer:
        asked.append(span)
        return Answer(held.getvalue(), span, ignores=ignores)

    wheel, _ = open_wheel("peft.whl", ask)
    assert (wheel.read("peft/__init__.py"), wheel.read("peft/version.py")) == (b"first", b"last")
    assert asked[0] == "bytes=-65536"
    if ignores:
        assert len(asked) == 1
    assert sum(int(one.partition("-")[2]) - int(one[6:].partition("-")[0]) for one in asked[1:]) < 1_000


def test_open_wheel_refuses_what_is_no_wheel() -> None:
    with pytest.raises(InputError, match=r"`peft\.whl` is not a wheel"):
        open_wheel("peft.whl", lambda span: Answer(b"<html>", span, ignores=False))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_wheel_that_is_damaged_anywhere_is_read_or_refused(method: int) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        archive.writestr("peft/version.py", "0.12.0 " * 20)
    whole = held.getvalue()
    for at in range(0, len(whole), 2):
        damaged = bytes([*whole[:at], whole[at] ^ 0xFF, *whole[at + 1 :]])
        with contextlib.suppress(InputError):
            wheel, reader = open_wheel("peft.whl", partial(Answer, damaged, ignores=method == zipfile.ZIP_STORED))
            WheelContents("peft.whl", wheel, reader).read(["peft/version.py"])
