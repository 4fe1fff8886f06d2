"""A log as blocks of whole lines, and where in them a literal stands. Pure but for the stream.

A search over raw bytes is as fast as memory; only lines that hold a literal are decoded.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import IO, TYPE_CHECKING

from envpin.core.text_input import plain_block, to_utf8
from envpin.diagnose.logs.text.printed import as_python_prints
from envpin.diagnose.logs.text.unwrapped import WITHIN

if TYPE_CHECKING:
    from collections.abc import Iterator

# Memory stays that of a few blocks; smaller ones search no faster.
_BLOCK = 1 << 20
# Of a line: the longest wordings (a list of missing keys) say what they are within the first 6,000 characters.
_LINE = 6_000
# A block may hold a million lines with one anchor: enough of them say what the others would.
_PER_BLOCK = 2_000
# Blocks over so many bytes are asked for their words before they are searched for a thousand anchors.
_LARGE = 50_000
_LETTERS = bytes(one if 65 <= one <= 90 or 97 <= one <= 122 else 32 for one in range(256))
_ERROR = re.compile(r"[\s│|]*[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)\b")
# Words and lines that no library writes: expressions take time with the square of a word's length, or more.
_LONG_WORD = re.compile(r"(?<![\w.-])[\w.-]{401,}")
_LONG_LINE = re.compile(r"^(.{1000}).{401,}(.{600})$", re.MULTILINE)
# What blogs and forums make of quotation marks and of spaces at a line's beginning.
_OF_A_PAGE = tuple(
    (shown.encode(), printed) for shown, printed in (
        ("\u2018", b"'"), ("\u2019", b"'"), ("\u201c", b'"'), ("\u201d", b'"'), ("\u00a0", b" ")
    )
)  # fmt: skip
_ANSI = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)|[@-Z\\-_])")


class LineNumbers:
    """Line numbers of positions in one block, counted on from the last one that was asked for."""

    def __init__(self, block: bytes, first: int) -> None:
        self.block, self.first = block, first
        self.at, self.line = 0, first

    def of(self, at: int) -> int:
        if at < self.at:
            self.at, self.line = 0, self.first
        self.line += line_ends(self.block, self.at, at)
        self.at = at
        return self.line


# What LLaMA-Factory logs for each model of text alone, which has no processor (model/loader.py, 0.9.5).
_PASSED_OVER = re.compile(r"\bINFO\b[^\n]{0,120}>> Failed to load processor: ")


def line_ends(block: bytes, start: int = 0, end: int | None = None) -> int:
    """How many lines of the log end in a block, or between two positions of it."""
    end = len(block) if end is None else end
    return block.count(b"\n", start, end) - block.count(WITHIN, start, end)


def with_next(block: bytes, at: int, text: str) -> str:
    """A line and the two after it, as one: terminals and loggers break long lines."""
    end = block.find(b"\n", at)
    following = block[end + 1 : end + 1 + _LINE].split(b"\n")[:2] if end >= 0 else []
    return " ".join([text, *(line.decode("utf-8", "replace").strip() for line in following)])


def around(block: bytes, at: int) -> str:
    """What stands near a position."""
    return block[max(0, at - 2_000) : at + 2_000].decode("utf-8", "replace")


@lru_cache(maxsize=1)
def _words_of(block: bytes) -> bytes | None:
    """The runs of letters of a block, each once: training repeats a few kilobytes of them. None where they are many."""
    words = b" ".join(set(block.translate(_LETTERS).split()))
    return words if len(words) < len(block) // 4 else None


@cache
def _longest_word(anchor: bytes) -> bytes:
    return max(anchor.translate(_LETTERS).split(), key=len, default=b"")


def without_long_words(text: str) -> str:
    """A text in which words of more than 400 characters have only their first and last ones."""
    if len(text) <= 400 or max(map(len, text.split()), default=0) <= 400:
        return text
    return _LONG_WORD.sub(lambda found: found[0][:200] + found[0][-200:], text)


def in_short(text: str) -> str:
    """Lines before an error, of which those over 2,000 characters have only their beginning and end."""
    if len(text) <= 400:
        return text
    return without_long_words(text if len(text) <= 2_000 else _LONG_LINE.sub(r"\1\2", text))


def lines_with(block: bytes, anchor: bytes) -> Iterator[tuple[int, str]]:
    """Position and text of the lines that hold an anchor, each once, up to a limit."""
    if len(block) > _LARGE and (words := _words_of(block)) is not None and _longest_word(anchor) not in words:
        return
    at = 0
    for _ in range(_PER_BLOCK):
        at = block.find(anchor, at)
        if at < 0:
            return
        start = block.rfind(b"\n", 0, at) + 1
        end = block.find(b"\n", at)
        end = len(block) if end < 0 else end
        # of a line as long as a block, what stands around the anchor
        first, last = max(start, at - _LINE // 2), min(end, at + _LINE)
        yield at, without_long_words(block[first:last].decode("utf-8", "replace").strip())
        at = end


def is_code(block: bytes, at: int, text: str) -> bool:
    """Whether a line is the code of a frame whose error follows: what it raises is said there, with its names filled
    in."""
    if not text.startswith("raise "):
        return False
    following = block[at : at + _LINE].decode("utf-8", "replace").split("\n")[1:]
    return _ERROR.match(next((line for line in following if line.strip(" \t^~│|")), "")) is not None


def says_nothing(block: bytes, at: int, text: str) -> bool:
    """Whether what a line words as an error ended nothing: it is code, or a program logs what it goes on without."""
    return _PASSED_OVER.search(text) is not None or is_code(block, at, text)


def blocks_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Blocks of whole lines: UTF-8, without colours, with `\\n` as the only line end."""
    block = stream.read(_BLOCK)
    decode = to_utf8(block)
    rest = b""
    while block:
        following = stream.read(_BLOCK)
        data = rest + decode(block)
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1 if following else len(data)
        if cut == 0 and len(data) < 4 * _BLOCK:
            rest, block = data, following
            continue
        cut = cut or len(data)
        rest, data = data[cut:], data[:cut]
        if data:
            yield _clean(data)
        block = following


def _clean(data: bytes) -> bytes:
    if b"\x1b" in data:
        data = _ANSI.sub(b"", data)
    for shown, printed in _OF_A_PAGE:
        data = data.replace(shown, printed)
    return as_python_prints(plain_block(data))
