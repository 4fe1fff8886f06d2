"""Names in a pickle, read as opcodes: which classes `training_args.bin` mentions. Nothing is ever unpickled.

`torch.save` writes a zip with `<name>/data.pkl` in it; before torch 1.6 it wrote bare pickles one after another.
"""

from __future__ import annotations

import pickletools
import zipfile
from functools import lru_cache
from typing import TYPE_CHECKING

from envpin.core.archive_input import NOT_AN_ARCHIVE
from envpin.core.files import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.core.place import Place

# The real ones have 4 to 8 kB.
MAX_BYTES = 4_000_000
# The real ones have some hundred.
MAX_OPCODES = 200_000
# A text of 4 MB may be fetched from the memo as often as there are opcodes; no dotted path is longer than this.
MAX_PATH = 300
_TEXTS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "UNICODE", "BINUNICODE8"})


def class_paths(path: Place) -> tuple[str, ...]:
    """The dotted paths of every class and function that the pickle in a file would import, in order, each once.

    Empty for a file that is no pickle, is too large, or cannot be read.
    """
    return _paths(pickle_of(path))


@lru_cache(maxsize=4)  # a scan asks twice for each adapter, and the checkpoints of a run hold the same bytes
def _paths(data: bytes) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_globals(data)))


def texts(path: Place) -> tuple[str, ...]:
    """Every text of the pickle in a file, in order: attribute names and values."""
    found = (argument for name, argument in opcodes(pickle_of(path)) if name in _TEXTS)
    return tuple(text for text in found if isinstance(text, str))


def archive_names(path: Place) -> frozenset[str]:
    """The names in a zip that `torch.save` wrote, without the folder that they stand in; empty for other files."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return frozenset()
        with open_file(path) as stream, zipfile.ZipFile(stream) as archive:
            return frozenset(name.partition("/")[2] for name in archive.namelist()[:10_000])
    except (OSError, *NOT_AN_ARCHIVE):
        return frozenset()


def pickle_of(path: Place) -> bytes:
    """The bytes of the first pickle in a file; empty for a file that is none, is too large, or cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:  # a pipe would never answer
            return b""
        with open_file(path) as stream:
            if stream.read(4) != b"PK\x03\x04":
                stream.seek(0)
                return stream.read(MAX_BYTES)
            with zipfile.ZipFile(stream) as archive:
                for entry in archive.infolist():
                    if entry.filename.endswith("data.pkl") and entry.file_size <= MAX_BYTES:
                        with archive.open(entry) as member:
                            return member.read(MAX_BYTES)
    except (OSError, *NOT_AN_ARCHIVE):
        return b""
    return b""


@lru_cache(maxsize=2)  # classes, texts and attributes are asked of the same pickle in turn
def opcodes(data: bytes) -> tuple[tuple[str, object], ...]:
    """Name and argument of each opcode, up to the first that is malformed and to `MAX_OPCODES`."""
    found: list[tuple[str, object]] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            found.append((opcode.name, argument))
            if len(found) >= MAX_OPCODES:
                break
    except Exception:  # noqa: BLE001  genops raises whatever a malformed argument makes it raise
        return tuple(found)
    return tuple(found)


def _globals(data: bytes) -> Iterator[str]:
    """GLOBAL carries the path itself; STACK_GLOBAL takes the two texts pushed last, or fetched from the memo."""
    recent: list[str] = []
    memo: dict[int, str] = {}
    for name, argument in opcodes(data):
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
        elif name == "STACK_GLOBAL" and len(recent) == 2 and max(map(len, recent)) <= MAX_PATH:
            yield f"{recent[0]}.{recent[1]}"
