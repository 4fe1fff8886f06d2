"""DoRA's norms by rows.

peft makes a whole weight with its change, and drops it, each time a layer is asked: a good part of what asking a DoRA
model takes. A row's norm depends on that row alone, so that peft's own function is asked for a few at a time.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Callable, Iterator, Optional

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


def _by_rows(
    norm: Norm, weight: Tensor, lora_weight: Tensor, scaling: float, adapter_name: Optional[str] = None
) -> Tensor:
    """Called as peft calls its own: by place up to 0.18, by these names from 0.19 on. With `adapter_name` a norm may be
    kept for later, which one of some rows must not be."""
    import torch

    del adapter_name
    if weight.dim() != 2 or weight.shape != lora_weight.shape:
        return norm(weight, lora_weight, scaling)
    step = max(1, _ELEMENTS // max(1, weight.shape[1]))
    runs = [slice(first, first + step) for first in range(0, max(1, weight.shape[0]), step)]
    return torch.cat([norm(weight[run], lora_weight[run], scaling) for run in runs])
