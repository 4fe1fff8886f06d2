"""Which operations may run in blocks: those where peft's own layer gave the same bits both ways.

The bits of a whole product depend on how the BLAS cut it for its threads: MKL's AVX2 kernels round the last eight
columns of each thread's share in another order than those within. So a block is tried as rows of the whole, and as rows
of the shares that `threads` threads would have. What agrees with neither is merged whole.

A plain product is tried without peft's layer first (`product.py`), and made so where that gave what peft's layer gave:
the same change, and the same weight once it was rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..results import CalibrationCounts
from ..runtime.bits import equal_bits
from .blocks import CUDA_BLOCK_ELEMENTS
from .product import is_plain_product

if TYPE_CHECKING:
    from typing import Protocol

    import torch

    from .operations import Operation

    class TriedMerger(Protocol):
        """Merges an operation's own tensors into `weight`, or into the rows of `weights`, both ways."""

        device: str

        def run_whole(
            self, one: Operation, weight: Optional[torch.Tensor] = None, only: Optional[List[str]] = None
        ) -> Dict[str, torch.Tensor]: ...

        def blocks(
            self,
            one: Operation,
            way: Blockwise,
            weights: Optional[torch.Tensor] = None,
            only: Optional[List[str]] = None,
        ) -> Iterator[Tuple[int, torch.Tensor]]: ...


# Larger weights are compared on their first rows. Of the others all rows are: the BLAS cuts a product of few rows
# another way. This many take 12 bytes each, and as much when they are merged whole.
_CALIBRATION_ELEMENTS = 1 << 26


class Blockwise(NamedTuple):
    """How an operation is run in blocks of rows: in `parts` runs of columns each, `direct`ly or by peft's layer."""

    parts: int
    direct: bool = False


class Calibration:
    """Compares the first operation of every class of shape, rank and dtype.

    Compared is the delta itself, in the precision it is made in, by merging into a float32 weight of zeros: the
    rounding of a half-precision weight would hide all but the largest differences. The whole runs with as many threads
    as peft's own merge would use, the blocks with one.
    """

    def __init__(self, merger: TriedMerger) -> None:
        self._merger = merger
        self._known: Dict[Tuple[object, ...], Optional[Blockwise]] = {}

    def run(self, operations: List[Operation], threads: int) -> None:
        """Compare the first operation of each class. Not to be called while operations run."""
        import torch

        for one in operations:
            if one.sides and one.outputs and self._key(one) not in self._known:
                self._known[self._key(one)] = self._try(one, threads)
        torch.set_num_threads(1)

    def _try(self, one: Operation, threads: int) -> Optional[Blockwise]:
        # Adapter by adapter: in a sum, a difference in the smaller delta could hide behind the larger.
        names: List[Optional[List[str]]] = [[name] for name in one.adapters] if one.pairs[1:] else [None]
        left = iter(self._candidates(one, threads))
        for only in names[:-1]:
            whole = self._whole(one, only, threads)
            left = iter([way for way in left if self._agrees(one, only, whole, way)])
        whole = self._whole(one, names[-1], threads)
        return next((way for way in left if self._agrees(one, names[-1], whole, way) and self._rounds(one, way)), None)

    def _candidates(self, one: Operation, threads: int) -> List[Blockwise]:
        rows, width = one.sides[0].parameter.shape
        parts = [1]
        # A norm takes the whole row.
        if self._merger.device == "cpu" and self._rows(one) == rows and not one.magnitudes:
            parts += [count for count in range(threads, 1, -1) if threads % count == 0 and count <= width]
        direct = (True, False) if self._merger.device == "cpu" and is_plain_product(one) else (False,)
        return [Blockwise(count, chosen) for count in parts for chosen in direct]

    def way(self, one: Operation) -> Optional[Blockwise]:
        """How the blocks of this operation are made; None where it has to be merged whole."""
        return self._known[self._key(one)]

    def counts(self) -> CalibrationCounts:
        blockwise = sum(way is not None for way in self._known.values())
        return CalibrationCounts(classes=len(self._known), blockwise=blockwise)

    @staticmethod
    def _key(one: Operation) -> Tuple[object, ...]:
        shapes = tuple((tuple(slot.parameter.shape), str(slot.parameter.dtype)) for slot in one.slots)
        return (type(one.unit).__name__, one.kind, one.mode, shapes)

    def _rows(self, one: Operation) -> int:
        rows, width = one.sides[0].parameter.shape
        limit = _CALIBRATION_ELEMENTS if self._merger.device == "cpu" else 2 * CUDA_BLOCK_ELEMENTS
        return min(int(rows), max(1, limit // max(1, int(width))))

    def _whole(self, one: Operation, only: Optional[List[str]], threads: int) -> torch.Tensor:
        import torch

        torch.set_num_threads(threads)
        zeros = torch.zeros((self._rows(one), one.sides[0].parameter.shape[1]))
        found = self._merger.run_whole(one, zeros, only)[one.outputs[0].name].reshape(-1)
        torch.set_num_threads(1)
        return found

    def _agrees(self, one: Operation, only: Optional[List[str]], whole: torch.Tensor, way: Blockwise) -> bool:
        return all(_equal(whole, first, block) for first, block in self._blocks(one, only, way))

    def _blocks(self, one: Operation, only: Optional[List[str]], way: Blockwise) -> Iterator[Tuple[int, torch.Tensor]]:
        import torch

        zeros = torch.zeros((1, 1)).expand(self._rows(one), one.sides[0].parameter.shape[1])
        return self._merger.blocks(one, way, zeros, only)

    def _rounds(self, one: Operation, way: Blockwise) -> bool:
        """Without peft's layer, the first rows of the weight itself become what that layer makes of them."""
        if not way.direct:
            return True
        (_, ours), (_, theirs) = (
            next(self._merger.blocks(one, Blockwise(way.parts, direct))) for direct in (True, False)
        )
        return equal_bits(ours, theirs)


def _equal(whole: torch.Tensor, first: int, block: torch.Tensor) -> bool:
    return equal_bits(whole[first : first + block.numel()], block.reshape(-1))
