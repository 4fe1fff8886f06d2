"""Plain LoRA's change in the steps of peft's own layer: B·A, times the scaling, added to the weight and rounded to its
dtype, one adapter after the other.

peft makes each step of a whole block before the next, so that every step goes through memory. Here a few rows at a time
go through all of them while they lie in a core's cache. `calibration.py` says which operations may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Tuple

from .blocks import columns_of
from .operations import Operation

if TYPE_CHECKING:
    import torch

# 512 kB of float32, and as much again of what torch makes of the weight: a second-level cache. Half of
# that is as quick by itself, and asks for Python's lock twice as often.
_PIECE_ELEMENTS = 1 << 17


class Factors(NamedTuple):
    """One adapter: B (rows × rank), A (rank × columns) as the runs of columns that the product is made in, and the
    factor on it."""

    b: torch.Tensor
    a: Tuple[torch.Tensor, ...]
    scaling: float

    @classmethod
    def of(cls, a: torch.Tensor, b: torch.Tensor, scaling: float, parts: int) -> Factors:
        runs = columns_of(a.shape[1], parts)
        return cls(b, tuple(a[:, first:last].contiguous() for first, last in runs), scaling)


def is_plain_product(one: Operation) -> bool:
    """Whether peft makes the change in float32 whatever the weight's dtype, as both factors are."""
    import torch

    single = all(slot.parameter.dtype == torch.float32 for pair in one.pairs for slot in pair)
    return one.kind == "lora" and one.mode == "rows" and single


def add_products(block: torch.Tensor, run: Tuple[int, int], adapters: List[Factors]) -> None:
    """Add the change of each adapter to `block`, which holds the rows `run` of the weight."""
    for one in adapters:
        first = 0
        for a in one.a:
            last = first + a.shape[1]
            _add(block[:, first:last], one.b[run[0] : run[1]] @ a, one.scaling)
            first = last


def _add(block: torch.Tensor, delta: torch.Tensor, scaling: float) -> None:
    step = max(1, _PIECE_ELEMENTS // max(1, delta.shape[1]))
    for row in range(0, delta.shape[0], step):
        held = block[row : row + step]
        held.copy_(delta[row : row + step].mul_(scaling).add_(held))
