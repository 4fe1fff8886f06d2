"""Lines that a logger wrote as JSON, as the text that was logged. Pure.

Docker keeps each line as a JSON value; loggers of servers write a record for each call, with a whole traceback in one
of its fields. A newline within a line gets a mark before it, so that lines can still be counted.
"""

from __future__ import annotations

import re

import msgspec

from envpin.core.typed_json import NOT_OF_ITS_SHAPE

# A control character that counts as white space, before each newline which the log itself does not have.
WITHIN = b"\x1f\n"
_FIELDS = (
    "log", "message", "msg", "event", "text", "textPayload", "error", "detail", "exc_info", "exception", "traceback",
    "stack_trace", "stack", "stacktrace", "exc_text",
)  # fmt: skip
_SAYS_MORE = (b'"log"', b'"message"', b'"msg"', b'"event"', b'"text"', b'"textPayload"', b'"detail"', b'"error"')
_ESCAPED = b"(most recent call last):\\n"
_ONE_LINE = re.compile(rb"^[^\n]*\(most recent call last\):\\n[^\n]*$", re.MULTILINE)
_decode = msgspec.json.Decoder(dict[str, object]).decode


def unwrapped(block: bytes) -> bytes:
    """A block whose lines of JSON are replaced by what they log."""
    if b'{"' in block and any(field in block for field in _SAYS_MORE):
        block = b"\n".join(_of_line(line) if line.lstrip()[:1] == b"{" else line for line in block.split(b"\n"))
    if _ESCAPED in block:
        block = _ONE_LINE.sub(_of_escapes, block)
    return block


def _of_line(line: bytes) -> bytes:
    try:
        record = _decode(line)
    except NOT_OF_ITS_SHAPE:
        return line
    texts = [text for name in _FIELDS if isinstance(text := record.get(name), str) and text.strip()]
    if not texts or (len(texts) == 1 and len(record) > 1 and not _is_of_a_logger(record)):
        return line
    return WITHIN.join(text.rstrip("\n").encode("utf-8", "replace").replace(b"\n", WITHIN) for text in texts)


def _is_of_a_logger(record: dict[str, object]) -> bool:
    """Whether a record has what loggers add: rows of data have a text as well."""
    return any(name in record for name in _OF_LOGGERS)


_OF_LOGGERS = (
    "stream", "level", "levelname", "severity", "time", "timestamp", "ts", "@timestamp", "asctime", "logger", "name",
    "lvl", "insertId",
)  # fmt: skip


def _of_escapes(found: re.Match[bytes]) -> bytes:
    r"""A traceback that was written into one line, with `\n` for its line ends."""
    return found[0].replace(b"\\n", WITHIN).replace(b'\\"', b'"').replace(b"\\'", b"'")
