"""The bits of values: whether two tensors are equal to the bit (NaN equals the same NaN, and 0.0 does not equal -0.0),
and how far the neighbours of a value lie from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Tuple

if TYPE_CHECKING:
    import torch

_EXPONENT = 0x7FF << 52  # of a float64, IEEE 754


def equal_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tensors of one dtype and shape hold the same bits."""
    import torch

    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    # Both in one way: one of them may begin where no word does.
    mine, theirs = (tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other))
    wide = mine.storage_offset() % 8 == 0 and theirs.storage_offset() % 8 == 0
    pairs = zip(_pieces(mine, wide), _pieces(theirs, wide))  # noqa: B905 (Python 3.8 has no strict=)
    return all(bool(torch.equal(a, b)) for a, b in pairs)


def lengthened_by_zeros(longer: torch.Tensor, shorter: torch.Tensor) -> bool:
    """`longer` is `shorter` with zeros behind it along the last axis: what transformers makes of a bias over the tokens
    (`final_logits_bias`) when the vocabulary grows."""
    own = shorter.shape[-1:] or (0,)
    if longer.shape[:-1] != shorter.shape[:-1] or longer.dim() == 0 or longer.shape[-1] <= own[0]:
        return False
    return equal_bits(longer[..., : own[0]], shorter) and not bool(longer[..., own[0] :].count_nonzero())


def _pieces(flat: torch.Tensor, wide: bool) -> Tuple[torch.Tensor, ...]:
    """Bytes as whole words of eight, as far as they go, and the rest: torch compares element by element."""
    import torch

    whole = flat.numel() // 8 * 8 if wide else 0
    return (flat[:whole].view(torch.int64), flat[whole:]) if whole else (flat,)


def ulp(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The distance between neighbours of `dtype` around each of `values`, never below that of its subnormals, in
    float64."""
    import torch

    info = torch.finfo(dtype)
    # What is left of a float64 without its mantissa is the power of two below it: logarithms took many times as long.
    powers = values.double().abs().clamp_min(info.tiny).view(torch.int64) & _EXPONENT
    return powers.view(torch.float64) * info.eps
