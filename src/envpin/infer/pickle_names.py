"""Names in a pickle, read as opcodes: which classes `training_args.bin` mentions. Nothing is ever unpickled.

`torch.save` writes a zip with `<name>/data.pkl` in it; before torch 1.6 it wrote bare pickles one after another.
"""

from __future__ import annotations

import pickletools
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The real ones have 4 to 8 kB.
MAX_BYTES = 4_000_000
MAX_OPCODES = 200_000
_TEXTS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "UNICODE", "BINUNICODE8"})


def class_paths(path: Path) -> tuple[str, ...]:
    """The dotted paths of every class and function that the pickle in a file would import, in order, each once.

    Empty for a file that is no pickle, is too large, or cannot be read.
    """
    return tuple(dict.fromkeys(_globals(_pickle_of(path))))


def texts(path: Path) -> tuple[str, ...]:
    """Every text of the pickle in a file, in order: attribute names and values."""
    found = (argument for name, argument in _opcodes(_pickle_of(path)) if name in _TEXTS)
    return tuple(text for text in found if isinstance(text, str))


def _pickle_of(path: Path) -> bytes:
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:  # a pipe would never answer
            return b""
        with path.open("rb") as stream:
            if stream.read(4) != b"PK\x03\x04":
                stream.seek(0)
                return stream.read(MAX_BYTES)
            with zipfile.ZipFile(stream) as archive:
                for entry in archive.infolist():
                    if entry.filename.endswith("data.pkl") and entry.file_size <= MAX_BYTES:
                        with archive.open(entry) as member:
                            return member.read(MAX_BYTES)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError):
        return b""  # RuntimeError: encrypted; NotImplementedError: an unknown compression
    except Exception:  # noqa: BLE001  zlib, lzma and bz2 each have an error of their own
        return b""
    return b""


def _opcodes(data: bytes) -> Iterator[tuple[str, object]]:
    count = 0
    try:
        for opcode, argument, _ in pickletools.genops(data):
            yield opcode.name, argument
            count += 1
            if count >= MAX_OPCODES:
                return
    except Exception:  # noqa: BLE001  genops raises whatever a malformed argument makes it raise
        return


def _globals(data: bytes) -> Iterator[str]:
    """GLOBAL carries the path itself; STACK_GLOBAL takes the two texts pushed last, or fetched from the memo."""
    recent: list[str] = []
    memo: dict[int, str] = {}
    for name, argument in _opcodes(data):
        if name == "GLOBAL" and isinstance(argument, str):
            yield argument.replace(" ", ".", 1)
        elif name in _TEXTS and isinstance(argument, str):
            recent = [*recent[-1:], argument]
        elif name == "MEMOIZE" and recent:
            memo[len(memo)] = recent[-1]
        elif name in {"BINPUT", "LONG_BINPUT"} and isinstance(argument, int) and recent:
            memo[argument] = recent[-1]
        elif name in {"BINGET", "LONG_BINGET"} and isinstance(argument, int) and argument in memo:
            recent = [*recent[-1:], memo[argument]]
        elif name == "STACK_GLOBAL" and len(recent) == 2:
            yield f"{recent[0]}.{recent[1]}"
