"""Under which names transformers 5 loads the tensors of a checkpoint.

Its files keep the names of the release that introduced the family; from 5.0 on the modules of many families are called
otherwise, and so are those of an adapter that was trained on them. `renames.json` was read from the release that it
names, the newest of its day, by `scripts/collect_renames.py`. A later release may rename more: `is_unread` says so, and
whoever misses a module then has not found it, and must not say that the base lacks it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from packaging.version import Version

from envpin.core.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_COLLECTED = Path(__file__).with_name("renames.json")
_MOST = 1_000_000  # bytes
_DEPTH = 4  # configs within configs


class Renamed(NamedTuple):
    """A tensor's name in the model, and its name in the files; `is_fused` where it is made of several of those, so that
    their shape is not its own."""

    name: str
    stored: str
    is_fused: bool


class RenameRule(NamedTuple):
    """The first match of `pattern` becomes `replacement`."""

    pattern: str
    replacement: str
    is_fused: bool


class _Collected(msgspec.Struct, frozen=True):
    transformers: str
    rules: dict[str, msgspec.Raw]


@cache
def _load() -> _Collected:
    return msgspec.json.decode(read_bounded(_COLLECTED, _MOST), type=_Collected)


def collected_from() -> str:
    """The release of transformers whose names these are."""
    return _load().transformers


def is_unread(transformers: Version) -> bool:
    """Whether this release of transformers is of a later minor version than the names were read from."""
    return transformers.release[:2] > Version(collected_from()).release[:2]


def rules_for(config: Mapping[str, object]) -> tuple[RenameRule, ...]:
    """The rules of a model's types and classes: its own, and those of the models that it is made of."""
    found: dict[RenameRule, None] = {}
    rules = _load().rules
    for kind in dict.fromkeys(_kinds(config, _DEPTH)):
        if kind in rules:
            found |= dict.fromkeys(msgspec.json.decode(rules[kind], type=tuple[RenameRule, ...]))
    return tuple(found)


def _kinds(config: Mapping[str, object], depth: int) -> Iterator[str]:
    classes = config.get("architectures")
    named = [config.get("model_type"), *(classes if isinstance(classes, list) else [])]
    yield from (one for one in named if isinstance(one, str))
    for part in config.values() if depth else ():
        if isinstance(part, dict):
            yield from _kinds(part, depth - 1)


def renamed(names: Iterable[str], rules: Iterable[RenameRule]) -> Iterator[Renamed]:
    """Those of `names` that are called otherwise in the model."""
    compiled = [(re.compile(one.pattern), one.replacement, one.is_fused) for one in rules]
    plain = [(pattern, target) for pattern, target, is_fused in compiled if not is_fused]
    fused = [(pattern, target) for pattern, target, is_fused in compiled if is_fused]
    for stored in names if compiled else ():
        name = stored
        for pattern, target in plain:
            name = pattern.sub(target, name, count=1)
        if name != stored:
            yield Renamed(name, stored, is_fused=False)
        for pattern, target in fused:
            if pattern.search(name):
                yield Renamed(pattern.sub(target, name, count=1), stored, is_fused=True)
