"""The shape that each parameter has in the base: from the base's own headers, else from its config. Pure.

Shapes of linear layers are `(out, in)`, whatever the class of the layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

from envpin.checkpoint.checkpoint import EMBEDDINGS, HEADS
from envpin.checkpoint.config import text_flag
from envpin.diagnose.adapter_names import layer_of, of_base, placeless
from envpin.diagnose.layouts import described
from envpin.diagnose.renames import Renamed, RenameRule, renamed, rules_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.checkpoint.checkpoint import Checkpoint

Shape = tuple[int, ...]

# Families whose linear layers are `Conv1D`, stored `(in, out)`.
_TRANSPOSED = frozenset({"gpt2", "openai-gpt", "imagegpt", "decision_transformer"})
# The table that encoder and decoder share, as their files store it.
_SHARED = "shared.weight"


@dataclass(frozen=True, kw_only=True)
class ExpectedShapes:
    """`source` says where the shapes come from. `packed` holds parameters whose stored shape tells nothing, `rules` are
    those by which a newer release of transformers names the base's modules, `tied` is the table that a head which the
    base does not store is tied to."""

    source: Literal["headers", "config"]
    shapes: Mapping[str, Shape]
    by_place: Mapping[str, str]
    packed: frozenset[str] = frozenset()
    rules: tuple[RenameRule, ...] = ()
    tied: str | None = None
    model_type: str = ""

    @cached_property
    def _by_bare_place(self) -> dict[str, str]:
        return {self._bare(place): name for place, name in self.by_place.items()}

    def _bare(self, place: str) -> str:
        """A place without the name of the model inside a head's class (`bert.encoder…`), which files of the model alone
        do not have: `base_model_prefix`, a part of the type (`deberta-v2`, `xlm-roberta`)."""
        first, _, rest = place.partition(".")
        return rest if rest and first in self.model_type.split("-") else place

    @cached_property
    def _renamed(self) -> dict[str, Renamed]:
        return {placeless(one.name): one for one in renamed(self.shapes, self.rules)}

    @cached_property
    def last_layer(self) -> int | None:
        """The last layer of the language model: of the stack with most parameters, where there are several."""
        stacks: dict[str, tuple[int, int]] = {}
        for name in self.shapes:
            number = layer_of(name)
            if number is not None:
                stack = name[: name.find(f".{number}.")]
                count, last = stacks.get(stack, (0, 0))
                stacks[stack] = (count + 1, max(last, number))
        return max((last for _, last in stacks.values()), default=None)

    def is_called(self, module: str) -> bool:
        """Whether a module has this very name, in the files or in a model of a newer release of transformers."""
        return module in self._called

    @cached_property
    def _called(self) -> frozenset[str]:
        names = (*self.shapes, *(one.name for one in self._renamed.values()))
        return frozenset(name.rpartition(".")[0] for name in names)

    def name_of(self, parameter: str) -> str | None:
        """The base's own name for a parameter, also where the language model sits elsewhere in the base, or where a
        newer release calls it otherwise."""
        if parameter in self.shapes:
            return parameter
        place = placeless(parameter)
        found = self._renamed.get(place) if place not in self.by_place else None
        return (
            found.stored
            if found is not None
            else self.by_place.get(place) or self._by_bare_place.get(self._bare(place))
        )

    def shape_of(self, parameter: str) -> Shape | None:
        """Its shape; None where the base has no such parameter, or has it packed or in pieces."""
        name = self.name_of(parameter)
        if name is None or name in self.packed or self._is_made_of_pieces(parameter):
            return None
        return self.shapes[name]

    def _is_made_of_pieces(self, parameter: str) -> bool:
        place = placeless(parameter)
        known = parameter in self.shapes or place in self.by_place
        return not known and place in self._renamed and self._renamed[place].is_fused

    def module_name(self, module: str) -> str | None:
        """The base's name for a weight of a module, be it quantized, or a parameter of its own (fused experts)."""
        module = of_base(module)
        for ending in (".weight", ".qweight", ".weight_packed", ".base_layer.weight", ""):
            name = self.name_of(module + ending)
            if name is not None:
                return name
        prefix = f"{placeless(module)}."
        found = next((name for place, name in self.by_place.items() if place.startswith(prefix)), None)
        if found is None and module.rpartition(".")[2] == "embed_tokens":
            found = self.by_place.get(_SHARED)  # T5, BART: one table, which encoder and decoder call by their own names
        if found is None and module.rpartition(".")[2] in HEADS and not any(map(str.isdigit, module.split("."))):
            return self.tied
        return found or next((one.stored for place, one in self._renamed.items() if place.startswith(prefix)), None)


_KNOWN: WeakKeyDictionary[Checkpoint, ExpectedShapes | None] = WeakKeyDictionary()


def expected_shapes(base: Checkpoint) -> ExpectedShapes | None:
    """What the base's headers say; without weights what its config says, for families whose layout is known.

    Kept as long as `base` is: adapters that share a base are compared with the same shapes.
    """
    if base not in _KNOWN:
        _KNOWN[base] = _shapes_of(base)
    return _KNOWN[base]


def _shapes_of(base: Checkpoint) -> ExpectedShapes | None:
    config = base.config or {}
    if base.tensors:
        transposed = str(config.get("model_type")) in _TRANSPOSED
        shapes: dict[str, Shape] = {}
        packed: set[str] = set()
        for name, tensor in base.tensors.items():
            shapes[name] = tensor.shape
            if tensor.dtype == "U8" and tensor.shape[1:] == (1,):
                packed.add(name)
            elif transposed and len(tensor.shape) == 2 and _is_conv1d(name):
                shapes[name] = tensor.shape[::-1]
        tied = base.embedding.name if base.embedding is not None and base.head is None else None
        return _index("headers", shapes, config, tied, frozenset(packed))
    shapes = dict(shapes_of_config(config))
    tables = (name for name in shapes if name.removesuffix(".weight").rpartition(".")[2] in EMBEDDINGS)
    tied = next(tables, None) if text_flag(config, "tie_word_embeddings") is True else None
    return _index("config", shapes, config, tied) if shapes else None


def _index(
    source: Literal["headers", "config"],
    shapes: Mapping[str, Shape],
    config: Mapping[str, object],
    tied: str | None,
    packed: frozenset[str] = frozenset(),
) -> ExpectedShapes:
    places, rules = {placeless(name): name for name in shapes}, rules_for(config)
    return ExpectedShapes(
        source=source, shapes=shapes, by_place=places, packed=packed, rules=rules, tied=tied,
        model_type=str(config.get("model_type")),
    )  # fmt: skip


def shapes_of_config(config: Mapping[str, object]) -> Iterator[tuple[str, Shape]]:
    """The parameters of a language model as its config describes them; nothing for a type whose layout is not known."""
    found = described(config)
    if found is None:
        return
    transposed = found.model_type in _TRANSPOSED
    for name, shape in found.shapes.items():
        known = tuple(one for one in shape if one is not None)
        if len(known) == len(shape) and name not in found.optional:
            yield name, known[::-1] if transposed and len(known) == 2 and _is_conv1d(name) else known


def _is_conv1d(name: str) -> bool:
    return name.rpartition(".")[0].rpartition(".")[2].startswith("c_")
