"""Changes of JSON documents that a fuzzer makes: bytes flipped at random seldom stay JSON."""

from __future__ import annotations

import copy
import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a stranger would write where a reader expects something else.
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), "",
    "0", "x", "-1", "../x", "/dev/zero", "a\0b", "\x1b[2J", "\ud800", "9" * 5000, "x" * 3000, "::error::x", "a\nb",
    "1.0.post1+cpu", "9999-12-31T23:59:59Z", "(a+)+b", [], {}, [[]], [None], [1, "2"], {"": None}, {"a": {"b": []}},
    "LORA", "F16", "F4_E2M1", "llama", "peft", "torch", "4.43.1", "sha256:" + "0" * 64, "0" * 64,
)  # fmt: skip


def mutated_json(data: bytes, seed: int) -> bytes | None:
    """The JSON document or lines in `data` with one to three places changed; None where it is neither."""
    source = random.Random(seed)
    lines = data.split(b"\n")
    at = source.randrange(len(lines)) if _document(data) is None else -1
    document = _document(data if at < 0 else lines[at])
    if document is None:
        return None
    holder = [document[0]]
    for _ in range(source.randint(1, 3)):
        _change(holder, source)
    text = json.dumps(holder[0], ensure_ascii=source.random() < 0.5).encode("utf-8", "surrogatepass")
    if at < 0:
        return text
    return b"\n".join([*lines[:at], text, *([text] if source.random() < 0.2 else []), *lines[at + 1 :]])


def _document(data: bytes) -> tuple[Any] | None:
    try:
        return (json.loads(data),)
    except (ValueError, RecursionError):
        return None


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container below `value` with each of its keys."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            yield one, key
            waiting.append(one[key])


def _change(holder: list[Any], source: random.Random) -> None:
    places = list(_places(holder))
    within, key = source.choice(places)
    kind = source.randrange(7)
    if kind <= 2:
        within[key] = copy.deepcopy(source.choice(VALUES))
    elif kind == 3 and within is not holder:
        del within[key]
    elif kind == 4:  # what stands elsewhere in the document has a meaning, though not here
        other, name = source.choice(places)
        within[key] = copy.deepcopy(other[name])
    elif kind == 5 and isinstance(within, dict):
        word = source.choice([one for one in VALUES if isinstance(one, str)])
        within[word] = within.pop(key) if source.random() < 0.5 else copy.deepcopy(within[key])
    elif isinstance(within, list) and within is not holder:
        within.extend(copy.deepcopy(within[key]) for _ in range(source.choice((1, 2, 50))))
    elif isinstance(within[key], int | float) and not isinstance(within[key], bool):
        within[key] = within[key] * source.choice((-1, 2, 10**9)) + source.choice((-1, 0, 1))
