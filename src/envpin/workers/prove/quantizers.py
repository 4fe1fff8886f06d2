"""Round trips through 4 and 8 bit, as programs that merge into a quantized base leave them in a model.

Imitated are NF4 and FP4 in blocks of 64 (bitsandbytes, Dettmers et al., QLoRA, appendix E), rounding to 4 and 8 bit by
group, and 8 bit by row. Only whole rows that are a multiple of the block are looked at.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Callable, Iterator, Optional, Tuple

if TYPE_CHECKING:
    import torch


_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
_FP4 = (0.0, 0.0052083333, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25)
_GROUPS = (32, 64, 128)
# A model that went through 4 bit is this much nearer to such a round trip than to none.
_NEARER = 0.25
_LARGER = 3.0


def requantized(start: torch.Tensor, delta: torch.Tensor, found: torch.Tensor, rounding: float) -> Optional[str]:
    """Which round trip explains rows of a merged weight, in words; None where none does."""
    plain = float((found - start - delta).pow(2).sum())
    if plain <= 4 * rounding:
        return None
    best: Optional[Tuple[float, str]] = None
    for words, trip in _trips(start.shape[1]):
        before = float((found - trip(start) - delta).pow(2).sum())
        after = float((found - trip(found)).pow(2).sum())
        right = start + delta
        for left, lost, where in (
            (before, float((trip(start) - start).pow(2).sum()), "the base went through %s before the change was added"),
            (after, float((trip(right) - right).pow(2).sum()), "the merged weight went through %s"),
        ):
            # What is off has the size of what such a round trip loses, and is nearly all explained by it.
            if left < _NEARER * plain and plain < _LARGER * lost and (best is None or left < best[0]):
                best = (left, where % words)
    return None if best is None else best[1]


def _trips(width: int) -> Iterator[Tuple[str, Callable[[torch.Tensor], torch.Tensor]]]:
    if width % 64 == 0:
        yield "4 bit (nf4)", functools.partial(_coded, codes=_NF4)
        yield "4 bit (fp4)", functools.partial(_coded, codes=(*_FP4, *(-one for one in _FP4[1:])))
    for group in _GROUPS:
        if width % group == 0:
            yield "4 bit (groups of %d)" % group, functools.partial(_affine, group=group)
    yield "8 bit (by row)", functools.partial(_symmetric, steps=127)


def _coded(weight: torch.Tensor, codes: Tuple[float, ...], block: int = 64) -> torch.Tensor:
    import torch

    table = torch.tensor(sorted(codes), dtype=weight.dtype)
    blocks = weight.reshape(-1, block)
    scale = blocks.abs().amax(dim=1, keepdim=True).clamp_min(1e-30)
    middles = (table[1:] + table[:-1]) / 2
    return (table[torch.bucketize((blocks / scale).contiguous(), middles)] * scale).reshape(weight.shape)


def _symmetric(weight: torch.Tensor, steps: int) -> torch.Tensor:
    scale = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-30) / steps
    return (weight / scale).round() * scale


def _affine(weight: torch.Tensor, group: int, steps: int = 15) -> torch.Tensor:
    groups = weight.reshape(-1, group)
    low, high = groups.amin(dim=1, keepdim=True), groups.amax(dim=1, keepdim=True)
    scale = ((high - low) / steps).clamp_min(1e-30)
    return (((groups - low) / scale).round() * scale + low).reshape(weight.shape)
