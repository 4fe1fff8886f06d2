"""JSON that others wrote: regular files only, bounded in size, number of values and depth, one policy for oddities.

A key that stands twice in one object counts as `json.loads` counts it, in transformers and peft as well: the last one
wins. Readers of other make may take the first, so that every such key is remarked on. Only where the format itself
forbids it (the header of a safetensors file, envpin's own files) is it refused.

The bounds hold for real files with room to spare: the header of a single file with 91,000 tensors is about 13 MB and a
million values; `config.json` files are some kilobytes.
"""

from __future__ import annotations

import codecs
import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from envpin.core.errors import InputError
from envpin.core.files import read_bounded
from envpin.core.sizes import counted
from envpin.core.stand_ins import StandIn, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpin.core.place import Place

# The largest JSON that models carry and this reads is an index of shards, some MB; tokenizers have their own reader.
MAX_BYTES = 32_000_000
# Python keeps four bytes for every character of a text that holds one emoji, and json copies the text.
MAX_BYTES_NOT_ASCII = 8_000_000
# What a Python object takes is 50 to 100 bytes: within 150 MB, whatever the file says.
MAX_VALUES = 1_500_000
# Real configs nest far less; json's own limit is Python's recursion, which raises where it should answer.
MAX_DEPTH = 64
# So many duplicate keys show what happened to the file; more would only fill the terminal.
_REMARKS = 5
# What is read here and by no other reader of these files.
MARKED = "starts with a byte order mark, with which transformers and peft do not read it"


class BadJsonError(ValueError):
    """The text is not JSON that envpin accepts; the message says what is wrong with it.

    `instead` is what stands in its place, where that is known.
    """

    def __init__(self, message: str, instead: StandIn | None = None) -> None:
        super().__init__(message)
        self.instead = instead


def parse(
    data: bytes,
    *,
    constants: bool = False,
    remarks: list[str] | None = None,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_values: int = MAX_VALUES,
) -> Any:
    """The value of a JSON text.

    `constants` lets `NaN` and `Infinity` through: transformers 4 writes `Infinity` into the configs of some
    state-space models. `remarks` takes a sentence for each duplicate key, of which the last counts; without it a
    duplicate key is an error. A byte order mark is read over, and remarked on.

    Raises:
        BadJsonError: not UTF-8, not JSON, or beyond a bound.
    """
    if len(data) > max_bytes:
        raise BadJsonError(f"{counted(len(data), 'byte')}, more than the {max_bytes:,} that envpin reads")
    if len(data) > MAX_BYTES_NOT_ASCII and not data.isascii():
        raise BadJsonError(
            f"{counted(len(data), 'byte')} not all ASCII, more than the {MAX_BYTES_NOT_ASCII:,} that envpin reads"
        )
    # An upper bound of the number of values, at the speed of memchr; counting inside strings makes it stricter only.
    if data.count(b",") + data.count(b"[") + data.count(b"{") > max_values:
        raise BadJsonError(f"more than {counted(max_values, 'value')}")
    duplicates: dict[str, None] = {}

    def last_wins(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            duplicates.update(dict.fromkeys(_duplicates(pairs)))
        return found

    text = _decoded(data)
    try:
        value = json.loads(text, object_pairs_hook=last_wins, parse_constant=_allow if constants else _refuse)
    except BadJsonError:
        raise
    except RecursionError as error:
        raise BadJsonError("nested too deep") from error
    except ValueError as error:  # JSONDecodeError, and integers with more digits than Python converts
        instead = stand_in(data)
        raise BadJsonError(str(error) if instead is None else f"{instead.words}, not the file", instead) from error
    if not _within_depth(value, max_depth):
        raise BadJsonError(f"nested deeper than {counted(max_depth, 'level')}")
    if duplicates and remarks is None:
        raise BadJsonError(f"duplicate key `{next(iter(duplicates))}`")
    if remarks is not None:
        remarks += [MARKED] if data.startswith(codecs.BOM_UTF8) else []
        remarks += [f"duplicate key `{key}`: the last one counts" for key in islice(duplicates, _REMARKS)]
        if len(duplicates) > _REMARKS:
            remarks.append(f"and {len(duplicates) - _REMARKS} more duplicate keys")
    return value


def _decoded(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        says = "in UTF-16; save it as UTF-8" if wide else f"not UTF-8 at byte {error.start}"
        raise BadJsonError(says) from error
    if not text.strip("\0 \t\r\n"):
        raise BadJsonError("empty (0 bytes)" if not data else f"{counted(len(data), 'byte')} of nothing")
    return text


def read_object(
    path: Place, *, constants: bool = True, remarks: list[str] | None = None, limit: int = MAX_BYTES
) -> dict[str, object]:
    """The JSON object in a regular file. `remarks` takes what is odd and no error (see `parse`); it may be left out
    where another reader of the same file remarks on it.

    Raises:
        BadJsonError: it is not one.
        OSError: the file cannot be read, is no regular one, or has more than `limit` bytes.
    """
    value = parse(read_bounded(path, limit), constants=constants, remarks=[] if remarks is None else remarks)
    if not isinstance(value, dict):
        raise BadJsonError(f"holds {_kind(value)}, not an object")
    return value


def read_named_object(
    path: Path, *, constants: bool = True, remarks: list[str] | None = None, limit: int = MAX_BYTES
) -> dict[str, object]:
    """As `read_object`, for a file that a command cannot do without.

    Raises:
        InputError: it cannot be read, or is no JSON object.
    """
    try:
        return read_object(path, constants=constants, remarks=remarks, limit=limit)
    except BadJsonError as error:
        hint = error.instead.step if error.instead is not None else None
        raise InputError(f"`{path}` is not valid JSON: {error}", path=path, hint=hint) from error
    except FileNotFoundError as error:
        raise InputError(f"`{path}` does not exist", path=path) from error
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror or error}", path=path) from error


def _duplicates(pairs: list[tuple[str, object]]) -> Iterator[str]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            yield key[:80]
        seen.add(key)


def _refuse(name: str) -> float:
    raise BadJsonError(f"`{name}` is not JSON")


def _allow(name: str) -> float:
    return float(name)


def _within_depth(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below += [child for child in item.values() if isinstance(child, dict | list)]
            elif isinstance(item, list):
                below += [child for child in item if isinstance(child, dict | list)]
        if not below:
            return True
        level = below
    return False


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "nothing")
