"""JSON into named tuples and back: what a request or a result looks like is said once, by the annotations of its class.

Understood are named tuples, `Tuple`, `Dict[str, …]`, `Optional`, `Literal`, str, int, float, bool, and `object` for any
JSON. A field with a default may be left out, and is left out again where it has that default.
"""

from typing import Dict, Literal, Tuple, Type, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from .protocol import KnownError

T = TypeVar("T")
_WORDS: Dict[object, str] = {str: "a string", int: "an integer", float: "a number", bool: "a boolean"}


def decode(kind: Type[T], document: object) -> T:
    """`document` as the named tuple `kind`.

    Raises:
        KnownError: `request`, naming the field and what it must be.
    """
    return cast(T, _tuple(kind, document, ""))


def encode(value: object) -> object:
    """Named tuples as JSON objects, other tuples as arrays."""
    names: Tuple[str, ...] = getattr(value, "_fields", ())
    if names:
        defaults: Dict[str, object] = getattr(value, "_field_defaults", {})
        found = [(name, getattr(value, name)) for name in names]
        return {name: encode(one) for name, one in found if not (name in defaults and one == defaults[name])}
    if isinstance(value, (tuple, list)):
        return [encode(one) for one in value]
    if isinstance(value, dict):
        return {str(key): encode(one) for key, one in value.items()}
    return value


def _tuple(kind: Type[object], document: object, path: str) -> object:
    if not isinstance(document, dict):
        raise _wrong(path, "an object")
    hints = get_type_hints(kind)
    defaults: Dict[str, object] = getattr(kind, "_field_defaults", {})
    unknown = sorted(set(document) - set(hints))
    missing = [name for name in hints if name not in document and name not in defaults]
    if unknown or missing:
        name = (path + "." if path else "") + str((unknown or missing)[0])
        raise KnownError("request", "`%s` is %s" % (name, "not a known field" if unknown else "missing"), field=name)
    given = {name: _value(hints[name], one, path + "." + name if path else name) for name, one in document.items()}
    return kind(**given)


def _value(kind: object, value: object, path: str) -> object:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Union:  # only `Optional`
        return None if value is None else _value(arguments[0], value, path)
    if origin is Literal:
        if value not in arguments:
            raise _wrong(path, "one of " + ", ".join("`%s`" % one for one in arguments))
        return value
    if origin is tuple:
        return _array(arguments, value, path)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(path, "an object")
        return {name: _value(arguments[1], one, path + "." + name) for name, one in value.items()}
    if isinstance(kind, type) and hasattr(kind, "_fields"):
        return _tuple(kind, value, path)
    return value if kind is object else _scalar(kind, value, path)


def _array(kinds: Tuple[object, ...], value: object, path: str) -> object:
    if not isinstance(value, (list, tuple)):
        raise _wrong(path, "an array")
    if kinds[-1] is not Ellipsis and len(kinds) != len(value):
        raise _wrong(path, "an array of %d" % len(kinds))
    each = [kinds[0]] * len(value) if kinds[-1] is Ellipsis else list(kinds)
    return tuple(_value(each[place], one, "%s[%d]" % (path, place)) for place, one in enumerate(value))


def _scalar(kind: object, value: object, path: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:  # a boolean is an int to Python, and none to JSON
        raise _wrong(path, _WORDS[kind])
    return value


def _wrong(path: str, wanted: str) -> KnownError:
    name = path or "the request"
    return KnownError("request", "`%s` must be %s" % (name, wanted), field=name)
