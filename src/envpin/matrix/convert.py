"""Plain data to typed records, with every problem at once and each with its path.

msgspec stops at the first fault; a person who edits a table wants them all. So the whole is converted in one go, and
only when that fails is it taken apart, field by field, to find every fault.
"""

from __future__ import annotations

import types as builtin_types
from functools import cache
from typing import get_args, get_origin, get_type_hints

import msgspec

# Filled in while reading; whoever writes a file does not set them.
FILLED = frozenset({"id", "overlay", "overlaid"})


def problems_of(value: object, target: object, path: str = "") -> list[str]:
    """Every reason why `value` is not a `target`, as `path: reason` lines; empty where it is one."""
    if isinstance(target, type) and issubclass(target, msgspec.Struct):
        return _struct_problems(value, target, path)
    origin, arguments = get_origin(target), get_args(target)
    if origin is dict and _holds_struct(arguments[1]):
        if not isinstance(value, dict):
            return [_line(path, f"expected a table, got {kind_of(value)}")]
        return [line for key, item in value.items() for line in problems_of(item, arguments[1], join(path, str(key)))]
    if origin is tuple and _holds_struct(arguments[0]):
        if not isinstance(value, list):
            return [_line(path, f"expected an array, got {kind_of(value)}")]
        return [line for at, item in enumerate(value) for line in problems_of(item, arguments[0], f"{path}[{at}]")]
    return _value_problems(value, target, path)


def join(path: str, key: str) -> str:
    """`families` and `qwen2` make `families.qwen2`; a key that is not a bare TOML key is quoted."""
    bare = all(part.isalnum() and part.isascii() for part in key.replace("-", "0").replace("_", "0").split("\0"))
    shown = key if key and bare else f'"{key}"'
    return f"{path}.{shown}" if path else shown


def kind_of(value: object) -> str:
    """What a person would call the type of a TOML or JSON value."""
    names: dict[type, str] = {
        dict: "a table", list: "an array", str: "a string", bool: "a boolean", int: "an integer", float: "a number",
    }  # fmt: skip
    return "nothing" if value is None else names.get(type(value), f"a {type(value).__name__}")


def _struct_problems(value: object, target: type[msgspec.Struct], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [_line(path, f"expected a table, got {kind_of(value)}")]
    found: list[str] = []
    known = _fields_of(target)
    for key, item in value.items():
        if key in known:
            found += problems_of(item, known[key][0], join(path, key))
        else:
            found.append(_line(join(path, str(key)), f"no such field; there are {', '.join(sorted(known))}"))
    missing = [name for name, (_, required) in known.items() if required and name not in value]
    return found + [_line(join(path, name), "is missing") for name in missing]


@cache
def _fields_of(target: type[msgspec.Struct]) -> dict[str, tuple[object, bool]]:
    """The type of each field by its name in a file, and whether it must be there. Asked for thousands of runs."""
    hints = get_type_hints(target)
    fields = (field for field in msgspec.structs.fields(target) if field.name not in FILLED)
    return {field.encode_name: (hints[field.name], field.required) for field in fields}


def _value_problems(value: object, target: object, path: str) -> list[str]:
    try:
        msgspec.convert(value, target)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        return [_line(path + place.rstrip("`"), _plain(reason))]
    return []


def _holds_struct(target: object) -> bool:
    if get_origin(target) is builtin_types.UnionType:
        return False
    return isinstance(target, type) and issubclass(target, msgspec.Struct)


def _plain(reason: str) -> str:
    words = {"`object`": "a table", "`array`": "an array", "`str`": "a string", "`int`": "an integer",
             "`float`": "a number", "`bool`": "a boolean", "`null`": "nothing"}  # fmt: skip
    for technical, plain in words.items():
        reason = reason.replace(technical, plain)
    return reason[:1].lower() + reason[1:]


def _line(path: str, reason: str) -> str:
    return f"{path or 'the document'}: {reason}"
