"""Which tensors the files of a model hold, of types with several classes, several configs in one, or unlike layers.

`forms.json` was collected by `scripts/collect_forms.py` from models that the release of transformers which it names
made and saved; what an older release saves otherwise is optional, or left out. Of a class or a type that is not in it,
of a config that sets what is not understood there, and of one that does not name its class nothing is known.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.core.files import read_bounded
from envpin.diagnose.blocks import Lengths, UnknownCountError, stacks, unfolded
from envpin.diagnose.layouts import Described, bare, labels_of
from envpin.diagnose.renames import rules_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.diagnose.blocks import Block, Held

_COLLECTED = Path(__file__).with_name("forms.json")
_MOST = 2_000_000  # bytes
_MAX_LENGTH = 1 << 32
_MAX_TENSORS = 500_000
_LABELS = "num_labels"
# Where a release puts the parts of a model of several: `model.language_model.layers`, `language_model.model.layers`.
_OF_PARTS = (
    (r"^(?:model\.|language_model\.)+", ""),
    (r"^(vision_tower|vision_model|visual|audio_tower)\.(?:vision_model|vision_tower)\.", r"\1."),
)
_OLD_NAMES = (
    (r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"),
    (r"\.weight_g$", ".parametrizations.weight.original0"), (r"\.weight_v$", ".parametrizations.weight.original1"),
)  # fmt: skip
# Told by configs of old releases, and in none of the newest: with another value there are more tensors.
_GONE = {"position_embedding_type": "absolute"}


class _UnknownError(Exception):
    """A value that the config does not tell."""


class Form(msgspec.Struct, frozen=True):
    """Of one model type whose config has the values of `when`, where `=name` is the value of a field. `fields` are the
    paths of the sizes by their letters, `items` the tensors, of which each class has `common` and its own. `same` are
    the other names of a tensor, `head` those that a tied model lacks, `maybe` patterns of what only one release saves.
    With another value of one of `opaque`, without one of `must`, and with like sizes that are to be `apart` nothing is
    known; an opaque `#3` is any list of three numbers."""

    when: dict[str, object]
    prefixes: list[str] | None
    fields: dict[str, str]
    defaults: dict[str, int]
    fallbacks: dict[str, str]
    aliases: dict[str, str]
    opaque: dict[str, object]
    apart: list[tuple[str, str]]
    must: list[str]
    flat: str
    items: list[tuple[str, object]]
    common: list[int]
    classes: dict[str, list[int]]
    base: str
    head: list[str]
    same: dict[str, list[str]]
    ignored: list[str]
    maybe: list[str]


class _Collected(msgspec.Struct, frozen=True):
    transformers: str
    types: dict[str, msgspec.Raw]


@cache
def _load() -> _Collected:
    return msgspec.json.decode(read_bounded(_COLLECTED, _MOST), type=_Collected)


@lru_cache(maxsize=8)
def _of_type(model_type: str) -> tuple[Form, ...]:
    written = _load().types.get(model_type)
    return () if written is None else msgspec.json.decode(written, type=tuple[Form, ...])


def formed_types() -> tuple[str, ...]:
    return tuple(_load().types)


def is_formed(model_type: object) -> bool:
    """Whether the forms of a type are known."""
    return isinstance(model_type, str) and model_type in _load().types


def formed(config: Mapping[str, object], tensors: Held) -> Described | None:
    """What the config says of the tensors; those in the files tell of which kind each layer is."""
    classes = _classes(config)
    name = classes[0] if isinstance(classes, list) and len(classes) == 1 else None
    if not is_formed(config.get("model_type")) or not isinstance(name, str):
        return None
    for number, form in enumerate(_of_type(str(config["model_type"]))):
        if name in form.classes and _is_understood(form, config, is_first=number == 0):
            try:
                found = _described(form, name, config, tensors)
            except (_UnknownError, UnknownCountError):
                return None
            if found is not None:
                return found
    return None


def _classes(config: Mapping[str, object]) -> object:
    """Release 4.57 writes the class of a Qwen2-VL into the config of its text."""
    text = config.get("text_config")
    return config.get("architectures", text.get("architectures") if isinstance(text, dict) else None)


def _described(form: Form, name: str, config: Mapping[str, object], tensors: Held) -> Described | None:
    values = {path: _size(form, path, config) for path in form.fields.values()}
    if any(values.get(one) == values.get(other) for one, other in form.apart):
        return None
    lengths = Lengths({letter: one for letter, path in form.fields.items() if (one := values[path]) is not None})
    rules = _OF_PARTS if form.prefixes is None else (
        (rf"^(?:{'|'.join(map(re.escape, form.prefixes))})\.", ""), *_OLD_NAMES)  # fmt: skip
    block: Block = dict(form.items[at] for at in (*form.common, *form.classes[name]))
    held = {bare(one, rules): shape for one, shape in tensors.items()}
    shapes = dict(islice(unfolded(block, lengths, held), _MAX_TENSORS))
    if len(shapes) >= _MAX_TENSORS:
        return None
    optional = {one for one in form.head if not _is_untied(config)}
    optional |= {one for one in shapes if name == form.base and one.startswith("pooler.")}
    maybe = [re.compile(f"^{one}$") for one in form.maybe]
    optional |= {one for one in shapes if any(rule.search(one) for rule in maybe)}
    return Described(
        model_type=str(config["model_type"]), shapes=shapes, optional=frozenset(optional), ignored=tuple(form.ignored),
        sizes={path: one for path, one in values.items() if one is not None}, is_own_class=True, rules=rules,
        same=form.same, expected=tuple(form.maybe), stacks=dict(stacks(block, lengths)),
        is_renamed=form.prefixes is None or bool(rules_for(config)),
    )  # fmt: skip


def _is_understood(form: Form, config: Mapping[str, object], *, is_first: bool) -> bool:
    for path, asked in form.when.items():
        found = _at(form, path, config)
        value = _at(form, asked[1:], config, ...) if isinstance(asked, str) and asked.startswith("=") else asked
        if not _same(found, value) and not (found is None and is_first):
            return False
    if any(
        config.get(name) is not None and config[name] != value for name, value in _GONE.items() if name not in form.when
    ):
        return False
    opaque = all(_same(_at(form, path, config, value), value) for path, value in form.opaque.items())
    return opaque and all(_at(form, path, config) is not None for path in form.must)


def _same(found: object, value: object) -> bool:
    """DeBERTa's configs have lists as `p2c|c2p`; the order of such names tells nothing. `#3` is any three numbers."""
    if isinstance(value, str) and value.startswith("#") and isinstance(found, list):
        return len(found) == int(value[1:]) and all(type(one) is int for one in found)
    if isinstance(value, list) and isinstance(found, str):
        found = found.split("|")
    if isinstance(value, list) and isinstance(found, list) and all(isinstance(one, str) for one in (*value, *found)):
        return sorted(found) == sorted(value)
    return found == value and type(found) is type(value)


def _at(form: Form, path: str, config: Mapping[str, object], default: object = None) -> object:
    """The value of a path; with the fields of the language model at the top of old configs."""
    first, _, rest = path.partition(".")
    if rest and first == form.flat and first not in config:
        path = rest
    at: object = config
    for part in path.split("."):
        if not isinstance(at, dict):
            return default
        at = at.get(part, ...)
    return default if at is ... else at


def _size(form: Form, path: str, config: Mapping[str, object]) -> int | None:
    """One size: the config's, else the one that is derived of others, else the default; None where nothing tells it."""
    if path == _LABELS:
        return labels_of(config)
    place = path.rpartition(".")[0]
    if place and place != form.flat and not isinstance(_at(form, place, config), dict):
        raise _UnknownError(path)
    own = _at(form, path, config, ...)
    for alias, real in form.aliases.items():
        other = _at(form, alias, config, ...) if real == path else ...
        if other is not ... and own is not ... and other != own:
            raise _UnknownError(path)
        own = other if own is ... else own
    if own is ...:
        own = form.defaults.get(path)
    if own is None and path in form.fallbacks:
        over, _, under = form.fallbacks[path].partition("//")
        number, divisor = _size(form, over, config), _size(form, under, config) if under else 1
        own = number // divisor if number and divisor else None
    if own is not None and not (type(own) is int and 0 < own < _MAX_LENGTH):
        raise _UnknownError(path)
    return own


def _is_untied(config: Mapping[str, object]) -> bool:
    """Whether a config says so, and none within it says otherwise."""
    said = list(_tied(config))
    return False in said and True not in said


def _tied(config: Mapping[str, object]) -> Iterator[object]:
    yield config.get("tie_word_embeddings")
    for part in ("text_config", "decoder", "thinker_config"):
        inner = config.get(part)
        if isinstance(inner, dict):
            yield from _tied(inner)
