"""JSON from strangers: bounded in size, in number of values and in depth, so that no file can fill the memory.

The bounds hold for real files with room to spare: the header of a single file with 91,000 tensors is about 13 MB and a
million values; `config.json` files are some kilobytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envpin.core.place import Place

MAX_BYTES = 32_000_000
# Python keeps four bytes for every character of a text that holds one emoji, and json copies the text.
MAX_BYTES_NOT_ASCII = 8_000_000
MAX_VALUES = 1_500_000
MAX_DEPTH = 64


class BadJsonError(ValueError):
    """The text is not JSON that envpin accepts; the message says what is wrong with it."""


def parse(data: bytes, *, constants: bool = False, max_depth: int = MAX_DEPTH, max_values: int = MAX_VALUES) -> Any:
    """The value of a JSON text.

    `constants` lets `NaN` and `Infinity` through: transformers 4 writes `Infinity` into the configs of some
    state-space models. Twice the same key is always refused: readers disagree which of the two counts.

    Raises:
        BadJsonError: not UTF-8, not JSON, or beyond a bound.
    """
    if len(data) > MAX_BYTES:
        raise BadJsonError(f"{len(data):,} bytes, more than the {MAX_BYTES:,} that envpin reads")
    if len(data) > MAX_BYTES_NOT_ASCII and not data.isascii():
        raise BadJsonError(
            f"{len(data):,} bytes not all ASCII, more than the {MAX_BYTES_NOT_ASCII:,} that envpin reads"
        )
    # An upper bound of the number of values, at the speed of memchr; counting inside strings makes it stricter only.
    if data.count(b",") + data.count(b"[") + data.count(b"{") > max_values:
        raise BadJsonError(f"more than {max_values:,} values")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadJsonError(f"not UTF-8 at byte {error.start}") from error
    try:
        value = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_allow if constants else _refuse)
    except BadJsonError:
        raise
    except RecursionError as error:
        raise BadJsonError("nested too deep") from error
    except ValueError as error:  # JSONDecodeError, and integers with more digits than Python converts
        raise BadJsonError(str(error)) from error
    if not _within_depth(value, max_depth):
        raise BadJsonError(f"nested deeper than {max_depth} levels")
    return value


def read_object(path: Place, *, constants: bool = True) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        BadJsonError: it is not one.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BadJsonError(f"{size:,} bytes, more than the {MAX_BYTES:,} that envpin reads")
    value = parse(path.read_bytes(), constants=constants)
    if not isinstance(value, dict):
        raise BadJsonError(f"holds {_kind(value)}, not an object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise BadJsonError(f"the key `{key[:80]}` stands twice in one object")
            seen.add(key)
    return found


def _refuse(name: str) -> float:
    raise BadJsonError(f"`{name}` is not JSON")


def _allow(name: str) -> float:
    return float(name)


def _within_depth(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [child for child in item.values() if isinstance(child, dict | list)]
            elif isinstance(item, list):
                below += [child for child in item if isinstance(child, dict | list)]
        if not below:
            return True
        level = below
    return False


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "a truth value", int: "a number", float: "a number"}
    return names.get(type(value), "nothing")
