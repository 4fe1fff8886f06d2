"""Which tensors the files of a causal language model hold, told by its config.

`layouts.json` was collected by `scripts/collect_layouts.py` from models that the release of transformers which it names
made and saved. Of a type that is not in it, of a config that sets what is not understood there, and of a model with its
own code nothing is known. Types whose layers differ, and others than language models, are in `forms.json`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envpin.core.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_COLLECTED = Path(__file__).with_name("layouts.json")
_MOST = 1_000_000  # bytes
# More than any model has; a config that asks for more is not believed.
_MAX_LAYERS = 2_000
_MAX_EXPERTS = 1_024
_MAX_LENGTH = 1 << 32
# transformers 5 writes the first one for what older releases call by the others.
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")

# A length is a number, the name of a size, or unknown.
Shape = tuple[int | None, ...]
_Symbols = list[int | str | None]


class _Change(msgspec.Struct, frozen=True):
    more: dict[str, _Symbols]
    less: list[str]


class _Switch(msgspec.Struct, frozen=True):
    default: bool
    layer: _Change
    other: _Change


class Layout(msgspec.Struct, frozen=True, rename={"class_name": "class"}):
    """Of one model type. `fields` are what its config calls the sizes, `head` the tensors that a tied model lacks,
    `opaque` the fields with which nothing is known unless they have this value, `takes` the kinds of value that a
    field may have from transformers 5 on. Without a `stack` only what the fields take is known."""

    class_name: str
    prefix: str
    stack: str
    fields: dict[str, str]
    defaults: dict[str, int | None]
    tied: bool | None
    head: list[str]
    layer: dict[str, _Symbols]
    other: dict[str, _Symbols]
    switches: dict[str, _Switch]
    opaque: dict[str, object]
    ignored: list[str]
    takes: dict[str, str]

    def sizes(self, config: Mapping[str, object]) -> Iterator[tuple[str, str, object]]:
        """Of each size its usual name, the field that tells it, and its value: the default where the config has none.

        A config may use the usual name as well as the class's own (`attribute_map` of transformers' configs).
        """
        for usual, called in self.fields.items():
            others = _EXPERTS if usual == "num_experts" else (usual,)
            name = called if called in config else next((one for one in others if one in config), called)
            yield usual, name, config.get(name, self.defaults.get(usual))


class _Collected(msgspec.Struct, frozen=True):
    transformers: str
    activations: frozenset[str]
    ropes: frozenset[str]
    scored: frozenset[str]
    classes: dict[str, list[str]]
    types: dict[str, msgspec.Raw]


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """The tensors of one model: `shapes` by name, with None for a length that is not known. Those of `optional` need
    not be there: a head that is tied. Of another class than the type's own with a head there is what lies below it.
    `sizes` are those that the config names, by the field. Names that a pattern of `ignored` finds are expected in
    files, and not read. `rules` take from a name what a class puts in front. `same` are the other names of a tensor;
    `is_renamed` says that a release may know the tensors by names that are not here. With `stacks` only what is too
    many in them is known to have no place, and nothing of names that a pattern of `expected` finds.
    """

    model_type: str
    shapes: Mapping[str, Shape]
    sizes: Mapping[str, int]
    optional: frozenset[str]
    ignored: tuple[str, ...]
    is_own_class: bool
    rules: tuple[tuple[str, str], ...]
    same: Mapping[str, list[str]] = field(default_factory=dict)
    expected: tuple[str, ...] = ()
    stacks: Mapping[str, int] | None = None
    is_renamed: bool = False

    def bare(self, name: str) -> str:
        """Files of the model without its head lack the prefix of its class, and load into the class with the head."""
        return bare(name, self.rules)


def bare(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, text in rules:
        name = re.sub(pattern, text, name, count=1)
    return name


@cache
def _load() -> _Collected:
    return msgspec.json.decode(read_bounded(_COLLECTED, _MOST), type=_Collected)


def activations() -> frozenset[str]:
    """The names of activations that transformers has."""
    return _load().activations


def ropes() -> frozenset[str]:
    """The kinds of rotary embeddings, and the names that old configs have for them."""
    return _load().ropes | {"su", "mrope"}


def types_of(class_name: str) -> tuple[str, ...]:
    """The model types that a class of a language model with its head is made for; none for another class."""
    return tuple(_load().classes.get(class_name, ()))


def layout_of(config: Mapping[str, object]) -> Layout | None:
    """That of a config's model type."""
    kind = config.get("model_type")
    return _of_type(kind) if isinstance(kind, str) else None


@lru_cache(maxsize=8)
def _of_type(model_type: str) -> Layout | None:
    """One of some hundred: the others are not taken apart."""
    written = _load().types.get(model_type)
    return None if written is None else msgspec.json.decode(written, type=Layout)


def described(config: Mapping[str, object]) -> Described | None:
    """What the config says of the tensors; None where that is not known."""
    layout = layout_of(config)
    if layout is None or not layout.stack or _is_opaque(layout, config):
        return None
    sizes = _sizes(layout, config)
    if sizes is None:
        return None
    layer, other = dict(layout.layer), dict(layout.other)
    for name, switch in layout.switches.items():
        if bool(config.get(name, switch.default)) is switch.default:
            continue  # whatever is true to Python turns it
        _turn(layer, switch.layer)
        _turn(other, switch.other)
    classes = config.get("architectures")
    is_own = not isinstance(classes, list) or not classes or classes[0] == layout.class_name
    shapes = {name: _shape(symbols, sizes) for name, symbols in other.items()}
    for number in range(sizes["layers"]):
        for name, symbols in _each_expert(layer, sizes):
            shapes[f"{layout.stack}.{number}.{name}"] = _shape(symbols, sizes)
    tied = config.get("tie_word_embeddings", layout.tied)
    optional = frozenset(layout.head) if tied else frozenset()
    if not is_own:  # another class has the same model below its own head
        shapes = {name: shape for name, shape in shapes.items() if name.startswith(f"{layout.prefix}.")}
        if isinstance(classes, list) and classes[0] in _load().scored:
            shapes["score.weight"] = (labels_of(config), sizes["hidden"])
    return Described(
        sizes={name: value for _, name, value in layout.sizes(config) if isinstance(value, int)},
        model_type=str(config["model_type"]), shapes=shapes, optional=optional, ignored=tuple(layout.ignored),
        is_own_class=is_own, rules=((rf"^{re.escape(layout.prefix)}\.", ""),),
    )  # fmt: skip


def labels_of(config: Mapping[str, object]) -> int | None:
    """Names of the labels count before their number, which is 2 where neither is given."""
    names, number = config.get("id2label"), config.get("num_labels")
    if isinstance(names, dict):
        return len(names) if number is None or number == len(names) else None
    return 2 if number is None else number if type(number) is int else None


def _turn(tensors: dict[str, _Symbols], change: _Change) -> None:
    for one in change.less:
        tensors.pop(one, None)
    tensors.update(change.more)


def _each_expert(layer: Mapping[str, _Symbols], sizes: Mapping[str, int]) -> Iterator[tuple[str, _Symbols]]:
    for name, symbols in layer.items():
        if "*" not in name:
            yield name, symbols
            continue
        for expert in range(sizes["experts"]):
            yield name.replace("*", str(expert), 1), symbols


def _is_opaque(layout: Layout, config: Mapping[str, object]) -> bool:
    head, hidden, heads = config.get("head_dim"), config.get("hidden_size"), config.get("num_attention_heads")
    if "head_dim" not in layout.fields and head is not None:
        sizes = isinstance(head, int) and isinstance(hidden, int) and isinstance(heads, int)
        if not sizes or head * heads != hidden:  # type: ignore[operator]
            return True
    return any(name in config and config[name] != value for name, value in layout.opaque.items())


def _sizes(layout: Layout, config: Mapping[str, object]) -> dict[str, int] | None:
    """The values of the symbols; None where one is missing, or is no size."""
    held: dict[str, int | None] = {}
    for usual, _, value in layout.sizes(config):
        if value is None or (type(value) is int and 0 < value < _MAX_LENGTH):
            held[usual] = value
        else:
            return None
    hidden, heads, vocab = held.get("hidden_size"), held.get("num_attention_heads"), held.get("vocab_size")
    layers, experts = held.get("num_hidden_layers"), held.get("num_experts") or 1
    if not hidden or not heads or not vocab or not layers or layers > _MAX_LAYERS or experts > _MAX_EXPERTS:
        return None
    head = held.get("head_dim") or hidden // heads
    queries, keys = heads * head, (held.get("num_key_value_heads") or heads) * head
    inner = held.get("intermediate_size") or 4 * hidden
    found = {"vocab": vocab, "hidden": hidden, "inner": inner, "queries": queries, "keys": keys, "head": head,
             "experts": experts, "layers": layers}  # fmt: skip
    positions = held.get("max_position_embeddings")
    if positions:
        found |= {"positions": positions, "positions+2": positions + 2}
    return found | {"2*inner": 2 * inner, "3*hidden": 3 * hidden, "4*hidden": 4 * hidden,
                    "queries+2*keys": queries + 2 * keys, "2*queries": 2 * queries}  # fmt: skip


def _shape(symbols: _Symbols, sizes: Mapping[str, int]) -> Shape:
    return tuple(sizes.get(one) if isinstance(one, str) else one for one in symbols)
