"""What is behind stdout and stderr, whatever became of it: closed, full, broken, or of an encoding that lacks a letter.

Writing never raises: what a command found out, and its exit status, do not hang on who listens. Text of strangers
reaches a terminal through `visible` alone.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import sys
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

# What redraws a terminal, or shows a line in another order than its letters have: the control characters but tab and
# newline, those of the second half (0x9b begins an escape sequence as well), marks of direction, and line separators.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# What runners of CI obey where they find it in a log: a line that begins with `::name`, and `##[name` anywhere (GitHub,
# Azure). https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
_OBEYED = re.compile(r"^[^\S\n]*:(?=:)|#(?=#(?:vso)?\[)", re.MULTILINE)
# What envpin itself draws, for streams of an encoding that lacks it (a file on Windows, LC_ALL=C).
_PLAIN = {"│": "|", "─": "-", "┼": "+", "✓": "+", "✗": "x", "–": "-", "−": "-", "·": "-", "×": "x", "…": "...",
          "→": "->", "≤": "<=", "≥": ">="}  # fmt: skip
_NOT_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Text that may hold what strangers wrote, without what a terminal or a runner of CI would obey."""
    text = _UNSAFE.sub("�", text)
    return _OBEYED.sub(r"\g<0> ", text) if _is_obeyed() else text


def visible_commands(text: str) -> str:
    """The same for lines that a runner is to obey; whoever made them has escaped what strangers wrote."""
    return _UNSAFE.sub("�", text)


def _is_obeyed() -> bool:
    return bool(os.environ.get("GITHUB_ACTIONS") or os.environ.get("TF_BUILD"))


def visible_json(text: str, encoding: str) -> str:
    """The same for a JSON text, which keeps its meaning: `\\u` escapes. All of it is ASCII where `encoding` is not
    one of Unicode's."""
    if _is_obeyed():
        text = text.replace("##", "#\\u0023")
    if not encoding.lower().replace("-", "").startswith("utf"):
        return re.sub("[^\x00-\x7e]", _escaped, text)
    return _NOT_IN_JSON.sub(_escaped, text)


class GuardedStream:
    """One of the two streams. `fault` is why it cannot be written to, once that has shown; what comes after is
    dropped. It stands in for `sys.stdout` or `sys.stderr` while a command runs, so that argparse and rich use it, too.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"
        self.errors = _PLAINLY
        self.fault: OSError | None = None
        self._descriptor: int | None = None
        try:
            if stream is not None:
                stream.flush()
                self._descriptor = stream.fileno()
        except (OSError, ValueError, AttributeError):
            pass  # one that Python code made, or that is full already: the first write shows it

    def write(self, text: str) -> int:
        """Write and flush. Unbuffered: what could not be written would come again when the interpreter ends."""
        if self.stream is None or self.fault is not None:
            return len(text)
        try:
            if self._descriptor is None:
                self.stream.write(text)
                self.stream.flush()
            else:
                lines = text if os.linesep == "\n" else text.replace("\n", os.linesep)
                _write_all(self._descriptor, lines.encode(self.encoding, self.errors))
        except OSError as error:
            self.fault = error
        except ValueError:  # the stream was closed
            self.stream = None
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Nothing is kept back."""

    def isatty(self) -> bool:
        try:
            return self.stream is not None and self.stream.isatty()
        except ValueError:
            return False

    def fileno(self) -> int:
        if self._descriptor is None:
            raise OSError(errno.EBADF, "no descriptor is behind this stream")
        return self._descriptor

    @property
    def abandoned(self) -> bool:
        """Whether the reader went away, as `head` does: nothing is wrong with the answer, nor with the machine."""
        return self.fault is not None and self.fault.errno in {errno.EPIPE, errno.EBADF, errno.EIO}


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """In place of letters that an encoding lacks: ASCII for what envpin draws, escapes for what strangers wrote."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_PLAIN.get(char, char) for char in lost).encode("ascii", "backslashreplace").decode(), error.end


_PLAINLY = "envpin-plainly"
codecs.register_error(_PLAINLY, _plainly)


def outputs() -> tuple[GuardedStream, GuardedStream]:
    """An `GuardedStream` for stdout and for stderr: those that `guard` has put there, else new ones."""
    return _output(sys.stdout), _output(sys.stderr)


def guard() -> None:
    """Put an `GuardedStream` in the place of stdout and of stderr."""
    _occupy()
    sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", outputs())


def release() -> None:
    """Put back what `guard` replaced."""
    if isinstance(sys.stdout, GuardedStream):
        sys.stdout = cast("TextIO", sys.stdout.stream)
    if isinstance(sys.stderr, GuardedStream):
        sys.stderr = cast("TextIO", sys.stderr.stream)


def _output(stream: TextIO | None) -> GuardedStream:
    return stream if isinstance(stream, GuardedStream) else GuardedStream(stream)


def _occupy() -> None:
    """Where a standard descriptor is closed, the next file that is opened would become it. These are not inherited: a
    child finds it as closed as it was."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _write_all(descriptor: int, data: bytes) -> None:
    for block in _blocks(data):
        rest = block
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:  # somebody who shares the terminal set it to non-blocking
                import select

                select.select([], [descriptor], [])


def _blocks(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    for at in range(0, len(view), 1 << 20):
        yield view[at : at + (1 << 20)]


def _escaped(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number > 0xFFFF:
        number -= 0x10000
        return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"
    return f"\\u{number:04x}"
