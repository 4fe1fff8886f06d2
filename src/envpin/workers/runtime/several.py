"""Several adapters in one merge: each at its weight, one after the other, by peft's own layers.

W + w1·Δ1 rounded to the base's dtype, then + w2·Δ2 rounded again: the bits of merging the first adapter, and the
second into the result (docs/adr/0032-several-adapters-one-after-the-other.md).
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Protocol, Tuple

if TYPE_CHECKING:
    import peft

    from ..requests import FurtherAdapter


class Source(NamedTuple):
    """One adapter of a request: its folder, its weight, the name that it has inside peft, and the prefix that its
    tensors' names have in plans and records (empty for the first)."""

    folder: str
    weight: float
    name: str
    prefix: str


class WeightedAdapters(Protocol):
    """A request that names adapters: the first, its weight, and those merged after it."""

    @property
    def adapter(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def further(self) -> Tuple[FurtherAdapter, ...]: ...


def sources(request: WeightedAdapters) -> List[Source]:
    """`adapter` and `weight` of a request, and every entry of `further`, in the order of merging."""
    given = [(request.adapter, request.weight), *((one.adapter, one.weight) for one in request.further)]
    return [
        Source(
            folder,
            weight,
            "default" if number == 0 else "adapter_%d" % (number + 1),
            "" if number == 0 else "%d:" % (number + 1),
        )
        for number, (folder, weight) in enumerate(given)
    ]


# So many have a place in the shortest row of inputs (answers.py).
_TOKENS_ASKED = 8


def trained_tokens(request: WeightedAdapters, rows: Optional[int]) -> List[int]:
    """Some of the ids in [0, rows) whose rows alone the adapters train (`trainable_token_indices` of LoRA,
    `token_indices` of TRAINABLE_TOKENS): to inputs without them, an adapter of nothing else answers as its base."""
    found: Dict[int, None] = {}
    for source in sources(request):
        with open(os.path.join(source.folder, "adapter_config.json"), encoding="utf-8") as stream:
            config = json.load(stream)
        for given in (config.get("trainable_token_indices"), config.get("token_indices")):
            for tokens in given.values() if isinstance(given, dict) else [given or []]:
                found.update((one, None) for one in tokens if isinstance(one, int) and 0 <= one < (rows or 0))
    return list(found)[:_TOKENS_ASKED]


def plain_name(name: str) -> str:
    """A tensor's name in its own file, from its name in a plan."""
    number, colon, rest = name.partition(":")
    return rest if colon and number.isdigit() else name


def load_further(model: peft.PeftModel, one: Source, **options: object) -> None:
    """Load one more adapter, twice: older peft (0.12) makes its parameters in the base's dtype, reads into them, and
    only then casts them to float32, so that after one load a second adapter is rounded and the first is not."""
    for _ in range(2):
        model.load_adapter(one.folder, one.name, is_trainable=False, **options)


def activate(model: peft.PeftModel, given: List[Source]) -> None:
    """Scale each loaded adapter by its weight and make all of them active, in order.

    peft's own `scale_layer` passes over LoRA on embeddings (in 0.12 and 0.21), so the scaling is set where it lies.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        for one in given:
            if isinstance(module, BaseTunerLayer) and one.name in (getattr(module, "scaling", None) or {}):
                module.scaling[one.name] *= one.weight
    if len(given) > 1:
        model.base_model.set_adapter([one.name for one in given])
