"""The pieces of a sentencepiece model, read from its protobuf without the library.

Only two fields are of interest (`sentencepiece_model.proto` of https://github.com/google/sentencepiece):
`ModelProto.pieces`, field 1, a message; and `SentencePiece.piece`, field 1 of that, a text. Everything else is skipped
by its wire type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.core.place import Place

# Gemma's tokenizer.model, the largest in common use, has 4 MB.
_MAX_BYTES = 32_000_000
MAX_PIECES = 600_000  # Gemma's, the largest in common use, has 262,144
# The wire type of strings and messages in protocol buffers.
_LENGTH_DELIMITED = 2


class NotSentencePieceError(ValueError):
    """The bytes are not a sentencepiece model."""


def read_pieces(path: Place) -> list[str]:
    """The pieces in the order of their ids.

    Raises:
        NotSentencePieceError: it is not a sentencepiece model, or it cannot be read.
    """
    try:
        data = read_bounded(path, _MAX_BYTES)
    except OSError as error:
        raise NotSentencePieceError(error.strerror or str(error)) from error
    pieces: list[str] = []
    for number, value in _fields(data):
        if number == 1 and value is not None:
            text = next((inner for at, inner in _fields(value) if at == 1), None)
            if text is None:
                raise NotSentencePieceError(f"piece {len(pieces)} has no text")
            if len(pieces) == MAX_PIECES:
                raise NotSentencePieceError(f"more than {MAX_PIECES:,} pieces")
            pieces.append(text.decode("utf-8", "replace"))
    if not pieces:
        raise NotSentencePieceError("it has no pieces")
    return pieces


def _fields(data: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Field number and, for length-delimited fields, the bytes of each field of one message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == _LENGTH_DELIMITED:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise NotSentencePieceError("it ends inside a field")
            yield key >> 3, data[at : at + length]
            at += length
            continue
        if wire == 0:
            _, at = _varint(data, at)
        elif wire in {1, 5}:
            at += 8 if wire == 1 else 4
        else:
            raise NotSentencePieceError(f"unknown wire type {wire}")
        yield key >> 3, None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise NotSentencePieceError("it ends inside a number")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at
