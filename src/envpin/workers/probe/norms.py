"""DoRA's norms by rows.

peft makes a whole weight with its change, and drops it, each time a layer is asked: a good part of what asking a DoRA
model takes. A row's norm depends on that row alone, so that peft's own function is asked for a few at a time.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Callable, Iterator

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    Norm = Callable[[Tensor, Tensor, float], Tensor]


# 1 MB of float32 each of the weight, its change and their sum. The change lies column by column, and four times as much
# took twice as long (64 to 512 rows of 2048 and of 5632 columns were tried).
_ELEMENTS = 1 << 18


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
    step = max(1, _ELEMENTS // max(1, weight.shape[1]))
    runs = [slice(first, first + step) for first in range(0, max(1, weight.shape[0]), step)]
    return torch.cat([norm(weight[run], change[run], scaling) for run in runs])
