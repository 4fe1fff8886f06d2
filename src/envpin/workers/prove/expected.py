"""What a changed tensor should hold, in float64, a block of rows at a time. Shares no code with peft.

Every tensor is seen as rows by columns: a convolution's kernel is one row per output channel, a bias one column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Tuple

from ..stream.io.files import StoredTensor
from ..stream.io.reader import Reader
from .changes import TensorChange

if TYPE_CHECKING:
    import torch


BLOCK_ELEMENTS = 1 << 21
_FLOAT32 = 2.0**-24
# How many roundings of float32 a norm, summed by blocks, may be off by.
_NORM = 16
_SVD = 64  # how many roundings of float32 a singular vector may be off by, in units of σ1 / gap


class UnfitError(Exception):
    """This change cannot be recomputed here; the message says why."""


class Block(NamedTuple):
    """Rows [first, last): the start that a right merge adds to (between `low` and `high`, which differ only where the
    start is itself computed), the change, and how far float32 arithmetic may be off in it."""

    low: torch.Tensor
    high: torch.Tensor
    delta: torch.Tensor
    noise: torch.Tensor


class Files(NamedTuple):
    """The stored tensors of the adapter and the base, and what reads them."""

    adapter: Dict[str, StoredTensor]
    base: Dict[str, StoredTensor]
    reader: Reader

    def wide(self, name: str) -> torch.Tensor:
        return self.reader.whole(self.adapter[name]).double()


class _Precision(NamedTuple):
    """What was rounded on the way to a norm: the factors, the base, the magnitude, or, `throughout`, all of it."""

    factors: Optional[torch.dtype]
    converted: Optional[torch.dtype]
    magnitude: Optional[torch.dtype]
    throughout: Optional[torch.dtype]
    times: int = 1


class Expected:
    """One changed tensor. `rounded` gives the change as it comes out of factors that were first rounded to a dtype."""

    def __init__(
        self, change: TensorChange, start: Optional[StoredTensor], files: Files, shape: Tuple[int, ...]
    ) -> None:
        self.change = change
        self.start = start
        self.shape = shape
        self.rows = shape[0] if shape else 1
        self.columns = columns_of(shape)
        self._files = files
        self._factors: Dict[Optional[torch.dtype], Tuple[torch.Tensor, torch.Tensor]] = {}
        self._norms: Dict[_Precision, torch.Tensor] = {}
        self._initial: Optional[Tuple[torch.Tensor, float]] = None

    # the start -------------------------------------------------------------------------------------------------------

    def stored_rows(self, first: int, last: int) -> torch.Tensor:
        """Rows of the start as they are stored; rows that the start lacks are zeros."""
        import torch

        if self.start is None:
            return torch.zeros((last - first, self.columns))
        held = self.start.shape[0] if self.start.shape else 1
        if not self.start.shape:
            return self._files.reader.whole(self.start).reshape(1, 1)
        there = self._files.reader.rows(self.start, min(first, held), min(last, held)).reshape(-1, self.columns)
        if there.shape[0] == last - first:
            return there
        missing = torch.zeros((last - first - there.shape[0], self.columns), dtype=there.dtype)
        return torch.cat([there, missing])

    def is_base(self, found: torch.Tensor, first: int, last: int) -> bool:
        """Whether rows hold what the base has, in their own dtype: nothing added, nothing taken off."""
        return bool((self.stored_rows(first, last).to(found.dtype) == found).all())

    def _starts(
        self, first: int, last: int, converted: Optional[torch.dtype] = None
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Between what and what the start lies; `converted` is a dtype that the base was loaded in."""
        stored = self.stored_rows(first, last)
        stored = stored if converted is None else stored.to(converted)
        if self.change.initial is None:
            wide = stored.double()
            return wide, wide
        taken, error = self._taken_off()
        left = stored.double() - taken[first:last]
        low, high = (left - error).to(stored.dtype).double(), (left + error).to(stored.dtype).double()
        return low, high

    def _taken_off(self) -> Tuple[torch.Tensor, float]:
        """What loading a PiSSA or OLoRA adapter takes off the base, and how exact float32 makes it."""
        import torch

        if self._initial is None:
            weight = self.stored_rows(0, self.rows).double()
            transposed = self._is_transposed()
            weight = weight.T if transposed else weight
            rank = int(self._files.adapter[str(self.change.right)].shape[0])
            scale = self.change.scale
            if self.change.initial == "pissa":
                u, s, v = torch.linalg.svd(weight, full_matrices=False)
                taken = (u[:, :rank] * s[:rank]) @ v[:rank]
                gap = float(s[rank - 1] - s[rank]) if rank < s.numel() else float(s[-1])
                error = _SVD * _FLOAT32 * float(s[0]) * float(s[0]) / max(gap, 1e-9)
                error = error / min(weight.shape) ** 0.5
            else:
                q, r = torch.linalg.qr(weight)
                taken = scale * (q[:, :rank] @ r[:rank])
                error = _SVD * _FLOAT32 * float(weight.abs().max()) * abs(scale)
            self._initial = (taken.T.contiguous() if transposed else taken, error)
        return self._initial

    # the change ------------------------------------------------------------------------------------------------------

    def block(
        self,
        first: int,
        last: int,
        rounded: Optional[torch.dtype] = None,
        converted: Optional[torch.dtype] = None,
        magnitude: Optional[torch.dtype] = None,
    ) -> Block:
        """Rows [first, last). With `rounded`, the factors are rounded to that dtype first; with `converted`, the base
        was; with `magnitude`, DoRA's magnitude."""
        low, high = self._starts(first, last, converted)
        if self.change.kind == "scaled":
            delta = low * (self._vector(first, last) - 1)
            return Block(low, high, delta, 4 * _FLOAT32 * low.abs())
        delta, size = self._low_rank(first, last, rounded)
        noise = _FLOAT32 * ((self.rank + 3) * size + low.abs())
        if self.change.kind != "dora":
            return Block(low, high, delta, noise)
        if self.change.initial is not None:
            return self._dora_of_changed(first, last, (low, high, delta), noise)
        factor = self._dora_factor(first, last, low + delta, _Precision(rounded, converted, magnitude, None))
        noise = 16 * noise * factor.abs() + 8 * _FLOAT32 * (factor * (low + delta)).abs()
        return Block(low, high, factor * (low + delta) - low, noise)

    def _dora_of_changed(
        self, first: int, last: int, parts: Tuple[torch.Tensor, torch.Tensor, torch.Tensor], noise: torch.Tensor
    ) -> Block:
        """DoRA over a start that is itself computed, and known so exactly only: weight and norm may both be off."""
        low, high, delta = parts
        start, half = (low + high) / 2, (high - low) / 2
        whole = start + delta
        factor = self._dora_factor(first, last, whole, _Precision(None, None, None, None))
        norm = half.amax() * self.columns**0.5 / whole.norm(dim=1).amin().clamp_min(1e-30)
        noise = factor.abs() * (16 * noise + half + (norm + 8 * _FLOAT32) * whole.abs())
        return Block(start, start, factor * whole - start, noise)

    def dora_in(self, first: int, last: int, dtype: torch.dtype, times: int) -> Block:
        """A DoRA merge made in a low precision throughout, as peft makes it of an adapter in that dtype: factors,
        change (`times` times: some releases round the product and the scaled product), sum, norm and the quotient are
        each rounded."""
        import torch

        low, _ = self._starts(first, last, dtype)
        delta, size = self._low_rank(first, last, dtype)
        noise = _FLOAT32 * (self.rank + 3) * size
        whole = [self._added(low, delta + sign * noise, dtype, times) for sign in (-1, 1)]
        middle = self._added(low, delta, dtype, times)
        norms = self._dora_factor(first, last, middle, _Precision(dtype, dtype, dtype, dtype, times))
        factors = [(norms * (1 + sign * _NORM * _FLOAT32)).to(dtype).double() for sign in (-1, 1)]
        ends = torch.stack([one * other for one in whole for other in factors])
        return Block(ends.amin(dim=0), ends.amax(dim=0), torch.zeros_like(delta), torch.zeros_like(delta))

    def _added(self, low: torch.Tensor, delta: torch.Tensor, dtype: torch.dtype, times: int) -> torch.Tensor:
        scale = self.change.scale
        if times == 2 and scale:
            delta = (delta / scale).to(dtype).double() * scale
        return (low + delta.to(dtype).double()).to(dtype).double()

    @property
    def rank(self) -> int:
        return int(self._files.adapter[str(self.change.right)].shape[0]) if self.change.right else 1

    def plain(self, first: int, last: int) -> Optional[torch.Tensor]:
        """start + change in float32, as most programs merge; None where that is not the formula."""
        if self.change.kind != "low-rank" or self.change.initial is not None:
            return None
        left, right = self.factors(None)
        delta = left[first:last].float() @ right.float()
        return self.stored_rows(first, last).float() + delta * self.change.scale

    def _low_rank(self, first: int, last: int, rounded: Optional[torch.dtype]) -> Tuple[torch.Tensor, torch.Tensor]:
        left, right = self.factors(rounded)
        rows = left[first:last]
        delta = self.change.scale * (rows @ right)
        size = abs(self.change.scale) * rows.norm(dim=1)[:, None] * right.norm(dim=0)[None, :]
        return delta, size

    def factors(self, rounded: Optional[torch.dtype]) -> Tuple[torch.Tensor, torch.Tensor]:
        """Left and right of the change, as float64 rows by rank and rank by columns."""
        import torch

        if rounded not in self._factors:
            one = self._files.wide(str(self.change.left))
            if self.change.right is None:  # a bias
                left, right = one.reshape(-1, 1), torch.ones((1, 1), dtype=torch.float64)
            else:
                other = self._files.wide(self.change.right)
                left, right = self._oriented(one.flatten(1), other.flatten(1))
            if rounded is not None:
                left, right = left.to(rounded).double(), right.to(rounded).double()
            if left.shape[0] < self.rows:  # a table that was shorter in training
                left = torch.cat([left, left.new_zeros((self.rows - left.shape[0], left.shape[1]))])
            self._factors[rounded] = (left, right)
        return self._factors[rounded]

    def _oriented(self, b: torch.Tensor, a: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        straight, crossed = (b, a), (a.T.contiguous(), b.T.contiguous())
        if self.change.embedding:
            return crossed
        return crossed if self._is_transposed() else straight

    def _is_transposed(self) -> bool:
        """Whether the stored weight is input by output, as `Conv1D` has it."""
        if self.change.right is None or self.change.embedding:
            return False
        b, a = self._files.adapter[str(self.change.left)], self._files.adapter[self.change.right]
        out, into = b.shape[0], columns_of(a.shape)
        fits = out == self.rows and into == self.columns
        crossed = into == self.rows and out == self.columns
        if not fits and not crossed:
            if out < self.rows and into == self.columns and self.start is not None:
                return False
            shapes = "%s and %s" % (list(b.shape), list(a.shape))
            raise UnfitError("its factors %s do not fit a weight of %s" % (shapes, list(self.shape)))
        return crossed and (not fits or self.change.module_is_transposed)

    def _vector(self, first: int, last: int) -> torch.Tensor:
        vector = self._files.wide(str(self.change.left))
        if vector.numel() == self.rows and (vector.dim() == 1 or vector.shape[0] != 1 or self.columns == 1):
            return vector.reshape(-1, 1)[first:last]
        if vector.numel() == self.columns:
            return vector.reshape(1, -1)
        raise UnfitError("its vector of %d does not fit a weight of %s" % (vector.numel(), list(self.shape)))

    def _dora_factor(self, first: int, last: int, whole: torch.Tensor, made: _Precision) -> torch.Tensor:
        """magnitude / norm: of each output, which is a row, or a column of `Conv1D` and of embeddings."""
        import torch

        magnitude = self._files.wide(str(self.change.magnitude)).reshape(-1)
        if made.magnitude is not None:
            magnitude = magnitude.to(made.magnitude).double()
        by_row = magnitude.numel() == self.rows and not self.change.embedding and not self._is_transposed()
        if by_row:
            norm = whole.norm(dim=1, keepdim=True)
            return magnitude[first:last, None] / (
                norm if made.throughout is None else norm.to(made.throughout).double()
            )
        if magnitude.numel() != self.columns:
            raise UnfitError("its magnitude has %d entries" % magnitude.numel())
        if made not in self._norms:
            squares = torch.zeros(self.columns, dtype=torch.float64)
            for begin, end in blocks(self.rows, self.columns):
                low, _ = self._starts(begin, end, made.converted)
                delta, _ = self._low_rank(begin, end, made.factors)
                whole = low + delta
                if made.throughout is not None:
                    whole = self._added(low, delta, made.throughout, made.times)
                squares += whole.pow(2).sum(dim=0)
            norms = squares.sqrt()
            self._norms[made] = norms if made.throughout is None else norms.to(made.throughout).double()
        return (magnitude / self._norms[made])[None, :]


def blocks(rows: int, columns: int) -> List[Tuple[int, int]]:
    step = max(1, BLOCK_ELEMENTS // max(1, columns))
    return [(first, min(first + step, rows)) for first in range(0, rows, step)]


def columns_of(shape: Tuple[int, ...]) -> int:
    count = 1
    for extent in shape[1:]:
        count *= extent
    return count
