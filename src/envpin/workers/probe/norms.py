"""DoRA's norms by rows.

peft makes a whole weight with its change, and drops it, each time a layer is asked: a good part of what asking a DoRA
model takes. A row's norm depends on that row alone, so that peft's own function is asked for a few at a time.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Callable, Iterator

from ..stream.blocks import row_blocks

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    Norm = Callable[[Tensor, Tensor, float], Tensor]


@contextlib.contextmanager
def norms_by_rows(model: Module) -> Iterator[None]:
    """Within, the linear DoRA layers of `model` make their norms in blocks of rows that stay in a cache."""
    replaced = []
    for module in model.modules():
        norm = getattr(module, "get_weight_norm", None)
        if norm is not None and not getattr(module, "fan_in_fan_out", False):
            module.get_weight_norm = functools.partial(_by_rows, norm)
            replaced.append(module)
    try:
        yield
    finally:
        for module in replaced:
            del module.get_weight_norm


def _by_rows(norm: Norm, weight: Tensor, change: Tensor, scaling: float) -> Tensor:
    import torch

    if weight.dim() != 2 or weight.shape != change.shape:
        return norm(weight, change, scaling)
    runs = row_blocks(*weight.shape)
    return torch.cat([norm(weight[first:last], change[first:last], scaling) for first, last in runs])
