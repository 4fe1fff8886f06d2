"""Whether two tensors are equal to the bit: NaN equals the same NaN, and 0.0 does not equal -0.0."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def equal_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tensors of one dtype and shape hold the same bits."""
    import torch

    return one.dtype == other.dtype and one.shape == other.shape and bool(torch.equal(_words(one), _words(other)))


def _words(tensor: torch.Tensor) -> torch.Tensor:
    """The bytes as the widest integers that fit: torch compares element by element."""
    import torch

    flat = tensor.contiguous().reshape(-1).view(torch.uint8)
    wide = flat.numel() % 8 == 0 and flat.data_ptr() % 8 == 0
    return flat.view(torch.int64) if wide else flat
