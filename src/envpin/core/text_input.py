"""Text that people wrote, in whatever form their tools save it, becomes one form before any pattern sees it.

Editors and shells of Windows write CRLF, PowerShell's `>` writes UTF-16 with a mark, Notepad marks UTF-8 as well, and
old exports end lines with CR alone. A pattern that ends in `$` sees no version in any of these.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from envpin.core.errors import InputError
from envpin.core.files import read_bounded, read_head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from envpin.core.place import Place

# Requirements, locks, YAML and matrices have some hundred kB at most.
MAX_BYTES = 16_000_000
# UTF-32 first: its little-endian mark begins with that of UTF-16. Each of these decoders drops the mark itself.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Enough characters that zeros in every second byte are no accident.
_SAMPLE = 4096


def encoding_of(start: bytes) -> str:
    """The encoding of a text by its first bytes: its mark; without one the zeros of UTF-16; else UTF-8."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    sample = start[: min(_SAMPLE, len(start) // 2 * 2)]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    # Every second byte of a Latin letter is zero in UTF-16. Chinese prose still has its newlines and versions, one
    # character in forty at least; a character such as U+4E00 puts a zero on the other side now and then.
    least = max(2, len(sample) // 80)
    if odd >= least and odd > 8 * even:
        return "utf-16-le"
    if even >= least and even > 8 * odd:
        return "utf-16-be"
    return "utf-8"


def plain(data: bytes, *, strict: bool = False) -> str:
    """The text with `\\n` as its only line end, and without a mark. What cannot be decoded becomes `\\ufffd`.

    Raises:
        UnicodeDecodeError: with `strict`, where it cannot be decoded.
    """
    text = data.decode(encoding_of(data), "strict" if strict else "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def plain_block(data: bytes) -> bytes:
    """As `plain` for a block of whole lines in UTF-8 (see `to_utf8`)."""
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def to_utf8(start: bytes) -> Callable[[bytes], bytes]:
    """Turns the blocks of a stream that begins with `start` into UTF-8, block by block; UTF-8 passes as it is."""
    encoding = encoding_of(start)
    if encoding in {"utf-8", "utf-8-sig"}:
        mark = codecs.BOM_UTF8
        return lambda block: block.removeprefix(mark)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return lambda block: decoder.decode(block).encode("utf-8", "replace")


def read_beginning(file: Place, limit: int) -> str:
    """The text at the beginning of a file, at most `limit` bytes of it.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    return plain(read_head(file, limit))


def read_text(path: Path, *, limit: int = MAX_BYTES) -> str:
    """The whole text of a file that the user named.

    Raises:
        InputError: it is not there, is no regular file, is too large, or is no text.
    """
    try:
        return plain(read_bounded(path, limit), strict=True)
    except FileNotFoundError as error:
        raise InputError(f"`{path}` does not exist", path=path) from error
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        raise InputError(f"`{path}` is not text: byte {error.start} is not {error.encoding}", path=path) from error
