"""Does a value of a config satisfy a sign? Pure, and total: any JSON document gets an answer."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envpin.matrix.types import Sign

_RELEASE = re.compile(r"\d{1,6}(?:\.\d{1,6}){0,3}")


def value_at(config: Mapping[str, object], path: str) -> object:
    """The value at a dotted path, None where there is none.

    Three spellings of the same thing are one: `rope_scaling` of transformers 4 and `rope_parameters` of 5 (which also
    took in `rope_theta`), `rope_scaling.type` before 4.43 and `.rope_type` since, and, for paths that start with
    `text.`, the nested `text_config` of vision models and the flat layout some of them had first.
    """
    if path.startswith("text."):
        rest = path.removeprefix("text.")
        nested = config.get("text_config")
        found = value_at(nested, rest) if isinstance(nested, dict) else None
        return value_at(config, rest) if found is None else found
    if path == "derived.own_head_dim":
        return _own_head_dim(config)
    found = _walk(config, path)
    if found is None and path.endswith("rope_scaling.rope_type"):
        found = _walk(config, path.removesuffix("rope_type") + "type")
    if found is None and path.startswith("rope_scaling"):
        found = _walk(config, path.replace("rope_scaling", "rope_parameters", 1))
    if found == "default" and path.endswith("rope_scaling.rope_type"):
        return None  # transformers 5 writes this where nothing is scaled
    if found is None and path == "rope_theta":
        found = _walk(config, "rope_parameters.rope_theta")
    return found


def holds(sign: Sign, config: Mapping[str, object]) -> bool:
    """Whether the config satisfies the sign. An absent value satisfies only `present = false`."""
    value = value_at(config, sign.path)
    for name, test in _TESTS.items():
        bound = getattr(sign, name)
        if bound is not None:
            return test(value, bound)
    return False


def wanted(sign: Sign) -> str:
    """What the sign asks for, in words that follow "is"."""
    for test, words in (("equals", "{}"), ("one_of", "one of {}"), ("at_least", "at least {}"),
                        ("at_most", "at most {}"), ("version_at_least", "{} or later"),
                        ("version_below", "before {}")):  # fmt: skip
        bound = getattr(sign, test)
        if bound is not None:
            shown = ", ".join(map(shorten, bound)) if isinstance(bound, tuple | list) else shorten(bound)
            return words.format(shown)
    return "present" if sign.present else "absent"


def shorten(value: object, limit: int = 60) -> str:
    """A value of a config as it may stand in a line for people."""
    if value is None:
        return "absent"
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a bound of 32511 is kept as a float
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True, default=str)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    text = "".join(letter if letter.isprintable() else "?" for letter in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def release_of(value: object) -> tuple[int, ...] | None:
    """`4.43.1.dev0` as (4, 43, 1); None for what does not start as a version does."""
    if not isinstance(value, str):
        return None
    match = _RELEASE.match(value)
    return tuple(int(part) for part in match[0].split(".")) if match else None


def _walk(config: Mapping[str, object], path: str) -> object:
    value: object = config
    for key in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _own_head_dim(config: Mapping[str, object]) -> bool | None:
    """Whether the width of a head is not what hidden size and heads give; None where the config does not say."""
    nested = config.get("text_config")
    part = nested if isinstance(nested, dict) and "hidden_size" in nested else config
    width, size, heads = (part.get(name) for name in ("head_dim", "hidden_size", "num_attention_heads"))
    if not (isinstance(width, int) and isinstance(size, int) and isinstance(heads, int)):
        return None
    return width * heads != size


def _equal(value: object, bound: object) -> bool:
    if isinstance(value, bool) or isinstance(bound, bool):
        return value is bound
    return bool(value == bound)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _not_before(value: object, bound: str) -> bool:
    release = release_of(value)
    return release is not None and release >= (release_of(bound) or ())


def _before(value: object, bound: str) -> bool:
    release = release_of(value)
    return release is not None and release < (release_of(bound) or ())


_TESTS: dict[str, Callable[[object, Any], bool]] = {
    "present": lambda value, bound: (value is not None) == bound,
    "equals": _equal,
    "one_of": lambda value, bound: any(_equal(value, one) for one in bound),
    "at_least": lambda value, bound: _is_number(value) and value >= bound,
    "at_most": lambda value, bound: _is_number(value) and value <= bound,
    "version_at_least": _not_before,
    "version_below": _before,
}
