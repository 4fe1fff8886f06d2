"""How a weight is cut into blocks that fit a cache: runs of rows, and of columns."""

from __future__ import annotations

from typing import List, Tuple

BLOCK_ELEMENTS = 1 << 20
CUDA_BLOCK_ELEMENTS = 1 << 23  # on a GPU few large products beat many small ones
# MKL's AVX2 kernels take other paths through a product of 32 or 64 rows, which round differently (torch 2.4 and 2.13);
# from 128 rows on they agreed with the whole in every shape of twelve that were tried.
_ROW_MULTIPLE = 128


def row_blocks(rows: int, width: int, device: str = "cpu") -> List[Tuple[int, int]]:
    """Runs of rows of about BLOCK_ELEMENTS elements. The last run takes the rest with it: a product with very few rows
    goes another way through the BLAS, and rounds differently."""
    step = (BLOCK_ELEMENTS if device == "cpu" else CUDA_BLOCK_ELEMENTS) // max(1, width)
    step = max(_ROW_MULTIPLE, step // _ROW_MULTIPLE * _ROW_MULTIPLE)
    starts = list(range(0, max(1, rows - step + 1), step))
    return list(zip(starts, [*starts[1:], rows]))  # noqa: B905 (Python 3.8 has no strict=)


def columns_of(width: int, parts: int) -> List[Tuple[int, int]]:
    """`parts` runs of columns of one width but the last, as a BLAS cuts a product for its threads."""
    step = max(1, -(-width // parts))
    return [(first, min(width, first + step)) for first in range(0, width, step)] or [(0, width)]
