"""The matrix for a quick answer: the same fields and properties, without the types, from a cache.

Typed loading imports msgspec, which alone takes longer than `matrix resolve` may. So what typed loading found right is
kept as plain JSON beside the very bytes that it came from, and is taken for the matrix as long as those are the same.
"""

from __future__ import annotations

import binascii
import json
import os
from typing import TYPE_CHECKING, Any, cast

from envpin.core.files import read_bounded, write_cache
from envpin.core.resources import cache_path, data_path
from envpin.matrix.where import MATRIX_BYTES, overlay_path
from envpin.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.matrix.types import Matrix

# Changes whenever the layout of the file, or what a matrix is checked for, does.
_LAYOUT = f"envpin {__version__} view 4\n".encode()
_FIELDS = "fields of a record"
# What an answer is not made from, and half of the whole: which runs prove a statement.
LEFT_OUT = frozenset({"Family.support", "KnownGood.evidence", "Break.evidence", "Condition.evidence"})


class Record:
    """A table of the matrix: fields and properties of its type (`envpin.matrix.types`) are attributes."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, object]) -> None:
        self._fields = fields

    def __getattr__(self, name: str) -> object:
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(f"the matrix has no field `{name}` here") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self._fields == other._fields

    __hash__ = None  # type: ignore[assignment]


def load_view(path: Path | None = None) -> Matrix:
    """The matrix as `load_matrix` reads it, for reading only: records stand in for its types, lists for its tuples;
    without the fields of `LEFT_OUT`.

    Raises:
        InputError: as `load_matrix`.
    """
    source = data_path("compat_matrix.toml") if path is None else path
    overlay = overlay_path() if path is None else None
    try:
        origin = _origin(source, overlay)
    except OSError:
        origin = None  # typed loading says what is wrong
    kept = cache_path() / "matrix" / f"{binascii.crc32(os.fsencode(source)):08x}.view"
    found = None if origin is None else _kept(kept, origin)
    if found is None:
        from envpin.matrix.load import load_matrix

        plain = _plain(load_matrix(path))
        if origin is not None:
            _keep(kept, origin, plain)
        found = _records(plain)
    return cast("Matrix", found)


def _origin(source: Path, overlay: Path | None) -> bytes:
    """All that the answer depends on."""
    parts = [_LAYOUT, os.fsencode(source), read_bounded(source, MATRIX_BYTES)]
    if overlay is not None:
        parts += [os.fsencode(overlay), read_bounded(overlay, MATRIX_BYTES)]
    return b"\0".join(parts)


def _kept(path: Path, origin: bytes) -> object:
    try:
        data = path.read_bytes()
        return _records(data[len(origin) :]) if data.startswith(origin) else None
    except (OSError, ValueError, RecursionError):
        return None


def _keep(path: Path, origin: bytes, plain: bytes) -> None:
    """A cache that cannot be written is no reason to fail."""
    write_cache(path, origin + plain)


def _records(plain: bytes) -> object:
    """Raises: ValueError: it is cut off."""

    def record(table: dict[str, Any]) -> object:
        return Record(table[_FIELDS]) if _FIELDS in table else table

    return json.loads(plain, object_hook=record)


def _plain(matrix: Matrix) -> bytes:
    """Every field but those left out, and every property of every table, the tables marked as what they are."""
    import msgspec

    def plain(value: object) -> object:
        if isinstance(value, msgspec.Struct):
            names = [*value.__struct_fields__, *(name for name, own in vars(type(value)).items()
                                                 if isinstance(own, property))]  # fmt: skip
            return {_FIELDS: {
                name: plain(getattr(value, name)) for name in names
                if f"{type(value).__name__}.{name}" not in LEFT_OUT
            }}  # fmt: skip
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    return json.dumps(plain(matrix), separators=(",", ":")).encode()
