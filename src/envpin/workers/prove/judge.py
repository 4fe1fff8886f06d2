"""One tensor of a merged model: equal to the bit, within rounding, or wrong.

All elements are judged, a block of rows at a time: first against the usual computation in float32, to the bit; where
that differs, against every way of rounding in ways.py, in float64. Only what no way explains is wrong, and only then
is its cause looked for (causes.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional, Tuple

from ..results import JudgedTensor
from ..runtime.bits import equal_bits, ulp
from ..stream.io.files import StoredTensor
from ..stream.io.reader import Reader
from .expected import Block, Expected, blocks, columns_of
from .ways import ONCE, Dtypes, Way, is_low, ways

if TYPE_CHECKING:
    import torch


FLOATS = ("BF16", "F16", "F32", "F64")
# A change whose scale is off by more than this would be found, where arithmetic in low precision leaves room.
_RESOLUTION = 2e-4
_SIGMAS = 5.0
_SHOWN = 8
_SAMPLED, _RUN = 64, 16


class Sums(NamedTuple):
    """Sums over a tensor: of change², moved · change and moved², where moved = merged − start; of the squared rounding
    that a right merge has; which rows the likeliest way does not explain; whether all is the base's, and finite."""

    elements: int
    change: float
    both: float
    moved: float
    rounding: float
    rows: List[int]
    as_start: bool
    finite: bool

    @property
    def factor(self) -> float:
        """The scale of the change by least squares: the projection of what moved on what should have."""
        return float(self.both / self.change) if self.change else 0.0

    @property
    def residual(self) -> float:
        """What is left after the best scale, as a sum of squares."""
        return float(max(0.0, self.moved - self.factor * self.both))

    @property
    def error(self) -> float:
        """The standard error of `factor`."""
        if not self.change or not self.elements:
            return float("inf")
        return float((max(self.residual, self.rounding) / self.elements / self.change) ** 0.5)


class Judge:
    """Judges changed tensors; the way that explained the last one is tried first on the next."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._usual: Optional[Way] = None

    def changed(self, name: str, expected: Expected, stored: StoredTensor, dtypes: Dtypes) -> Tuple[JudgedTensor, bool]:
        """The verdict on a tensor that the adapter changes, and whether its cause is still to be found."""
        quick = self._quickly(expected, stored)
        if quick is not None:
            equal, lost = quick
            return JudgedTensor(name, "equal" if equal else "rounding", True, ONCE.words, lost=lost), False
        way = self._way(expected, stored, dtypes)
        if way is None:
            return JudgedTensor(name, "wrong", True), True
        self._usual = way
        if way.cause is None:
            return JudgedTensor(name, "rounding", True, way.words), False
        return JudgedTensor(name, "wrong", True, way.words, way.cause, "it was " + way.words), False

    def _quickly(self, expected: Expected, stored: StoredTensor) -> Optional[Tuple[bool, bool]]:
        """Whether every element is the float32 result rounded once, and whether the whole change was lost in that
        rounding; None where an element is not explained by one rounding of the exact result."""
        import torch

        equal, moves = True, False
        for first, last in blocks(expected.rows, expected.columns):
            found = rows_of(self._reader, stored, first, last, expected.columns)
            plain = expected.plain(first, last)
            block: Optional[Block] = None
            if plain is None or not torch.equal(plain.to(found.dtype), found):
                equal = False
                block = expected.block(first, last)
                if not bool(ONCE.explains(block, 1.0, found).all()):
                    return None
            if not moves:
                start = expected.stored_rows(first, last).to(found.dtype)
                moves = not torch.equal(start, found)
        return equal, not moves

    def _way(self, expected: Expected, stored: StoredTensor, dtypes: Dtypes) -> Optional[Way]:
        tried = ways(dtypes, expected.change.kind)
        if self._usual in tried:
            tried = [self._usual, *(one for one in tried if one != self._usual)]
        for way in tried:
            if way != ONCE and self._explained(expected, stored, way):
                return way
        return self._loosely(expected, stored, dtypes.adapter)

    def _explained(self, expected: Expected, stored: StoredTensor, way: Way) -> bool:
        for first, last in blocks(expected.rows, expected.columns):
            block = way.block(expected, first, last)
            found = rows_of(self._reader, stored, first, last, expected.columns)
            if not bool(way.explains(block, expected.change.scale, found).all()):
                return False
        return True

    def _loosely(self, expected: Expected, stored: StoredTensor, adapter_dtype: torch.dtype) -> Optional[Way]:
        """A product that a GPU made in low precision differs from element to element by more than any of the ways.
        It passes where no element is off by more than that, and the scale, measured over all of them, is right."""
        import torch

        if expected.change.kind != "low-rank" or expected.change.initial is not None:
            return None
        # 2^-10 is the precision of TF32, in which GPUs may multiply float32.
        eps = max(2.0**-10, torch.finfo(adapter_dtype).eps if is_low(adapter_dtype) else 0.0)
        for first, last in blocks(expected.rows, expected.columns):
            block = expected.block(first, last)
            size = block.noise / 2.0**-24 / (expected.rank + 3)
            loose = block._replace(noise=block.noise + 2 * eps * size)
            found = rows_of(self._reader, stored, first, last, expected.columns)
            if not bool(ONCE.explains(loose, 1.0, found).all()):
                return None
        sums = self.sums(expected, stored)
        off = abs(sums.factor - 1)
        if sums.error > _RESOLUTION or off > max(_SIGMAS * sums.error, _RESOLUTION):
            return None
        return Way("the change was multiplied out in low precision, its scale is right to %.0e" % _RESOLUTION)

    def likeliest(self, expected: Expected, stored: StoredTensor, dtypes: Dtypes) -> Way:
        """Of the right ways, the one that explains most of a wrong tensor, judged on some of its rows."""
        runs = [(row, min(row + _RUN, expected.rows)) for row in range(0, expected.rows, _RUN)]
        runs = runs[:: max(1, len(runs) * _RUN // _SAMPLED)]
        best, fewest = ONCE, float("inf")
        for way in ways(dtypes, expected.change.kind):
            if way.cause is not None:
                continue
            wrong = 0
            for first, last in runs:
                found = rows_of(self._reader, stored, first, last, expected.columns)
                explained = way.explains(way.block(expected, first, last), expected.change.scale, found)
                wrong += int((~explained).any(dim=1).sum())
            if wrong < fewest:
                best, fewest = way, wrong
        return best

    def sums(self, expected: Expected, stored: StoredTensor, way: Way = ONCE) -> Sums:
        """What causes.py asks of a wrong tensor."""
        change = both = moved = rounding = 0.0
        rows: List[int] = []
        as_start = finite = True
        for first, last in blocks(expected.rows, expected.columns):
            block = expected.block(first, last)
            found = rows_of(self._reader, stored, first, last, expected.columns)
            wide = found.double()
            finite = finite and bool(wide.isfinite().all())
            gap = wide - block.low
            change += float(block.delta.pow(2).sum())
            both += float((gap * block.delta).sum())
            moved += float(gap.pow(2).sum())
            rounding += float((ulp(larger(block.low + block.delta, wide), found.dtype).pow(2) / 12).sum())
            rounding += float((block.noise / 3).pow(2).sum())
            explained = way.explains(way.block(expected, first, last), expected.change.scale, found)
            rows += [first + int(one) for one in (~explained).any(dim=1).nonzero().reshape(-1)]
            as_start = as_start and expected.is_base(found, first, last)
        return Sums(expected.rows * expected.columns, change, both, moved, rounding, rows, as_start, finite)

    def untouched(self, name: str, base: StoredTensor, stored: StoredTensor) -> JudgedTensor:
        """A tensor that the adapter does not touch has to be the base's: to the bit, or converted once."""

        if base.dtype not in FLOATS or stored.dtype not in FLOATS:
            same = base.dtype == stored.dtype and base.shape == stored.shape and self._same_bytes(base, stored)
            if same:
                return JudgedTensor(name, "equal")
            if base.dtype != stored.dtype:
                return JudgedTensor(
                    name, "not-compared", why="it is stored as %s, and %s in the base" % (stored.dtype, base.dtype)
                )
            return JudgedTensor(name, "wrong", cause="differs-from-base", why="it is not the base's")
        columns = columns_of(base.shape)
        bad: List[int] = []
        finite, converted = True, base.dtype != stored.dtype
        count = min(_rows(base), _rows(stored))
        for first, last in blocks(count, columns):
            mine = rows_of(self._reader, base, first, last, columns)
            found = rows_of(self._reader, stored, first, last, columns)
            wanted = mine.to(found.dtype)
            if equal_bits(wanted, found):
                continue
            finite = finite and bool(found.isfinite().all())
            differing = (bits(wanted) != bits(found)).any(dim=1)
            bad += [first + int(one) for one in differing.nonzero().reshape(-1)]
        if bad:
            why = "%d of its %d rows are not the base's" % (len(bad), count)
            cause = "differs-from-base" if finite else "not-finite"
            return JudgedTensor(name, "wrong", cause=cause, why=why, rows=tuple(bad[:_SHOWN]), wrong_rows=len(bad))
        if _rows(stored) != _rows(base):
            why = "it has %d rows, the base's has %d, and the adapter says nothing of the others"
            return JudgedTensor(name, "not-compared", why=why % (_rows(stored), _rows(base)))
        state = "rounding" if converted and is_narrower(stored, base) else "equal"
        return JudgedTensor(name, state, way="converted from %s" % base.dtype if converted else None)

    def _same_bytes(self, one: StoredTensor, other: StoredTensor) -> bool:

        step = 1 << 24
        for at in range(0, one.size, step):
            end = min(one.size, at + step)
            if not equal_bits(self._reader.bytes_of(one, at, end), self._reader.bytes_of(other, at, end)):
                return False
        return True

    def whole(
        self, name: str, brought: StoredTensor, base: Optional[StoredTensor], stored: StoredTensor
    ) -> JudgedTensor:
        """A tensor that the adapter brings whole: every row is the adapter's; rows past it are the base's."""
        columns = columns_of(stored.shape)
        if columns_of(brought.shape) != columns or _rows(brought) > _rows(stored):
            why = "it is %s, the adapter brings %s" % (list(stored.shape), list(brought.shape))
            return JudgedTensor(name, "wrong", True, cause="other-shape", why=why)
        bad: List[int] = []
        as_base, finite = base is not None, True
        for first, last in blocks(_rows(brought), columns):
            found = rows_of(self._reader, stored, first, last, columns)
            wanted = rows_of(self._reader, brought, first, last, columns).to(found.dtype)
            finite = finite and bool(found.isfinite().all())
            bad += [first + int(one) for one in (bits(wanted) != bits(found)).any(dim=1).nonzero().reshape(-1)]
            if as_base and base is not None:
                theirs = rows_of(self._reader, base, first, min(last, _rows(base)), columns).to(found.dtype)
                as_base = bool((bits(theirs) == bits(found[: theirs.shape[0]])).all())
        if bad and not finite:
            return JudgedTensor(name, "wrong", True, cause="not-finite", why="it holds values that are not finite")
        if bad and as_base:
            return JudgedTensor(name, "wrong", True, cause="not-applied", why="it is the base's, not the adapter's")
        if bad:
            why = "%d of its %d rows are not those that the adapter brings" % (len(bad), _rows(brought))
            return JudgedTensor(
                name, "wrong", True, cause="other-values", why=why, rows=tuple(bad[:_SHOWN]), wrong_rows=len(bad)
            )
        if _rows(brought) < _rows(stored):
            rest = self._rest(base, stored, _rows(brought), columns)
            if rest is not None:
                return JudgedTensor(name, rest, True, cause="differs-from-base" if rest == "wrong" else None,
                              why="rows past those that the adapter brings are not the base's")  # fmt: skip
        state = "rounding" if is_narrower(stored, brought) else "equal"
        return JudgedTensor(name, state, True, "the adapter's own tensor")

    def _rest(self, base: Optional[StoredTensor], stored: StoredTensor, first: int, columns: int) -> Optional[str]:
        if base is None or _rows(base) < _rows(stored):
            return "not-compared"
        mine = rows_of(self._reader, base, first, _rows(stored), columns)
        found = rows_of(self._reader, stored, first, _rows(stored), columns)
        return None if bool((bits(mine.to(found.dtype)) == bits(found)).all()) else "wrong"

    def some_rows(
        self, name: str, brought: StoredTensor, indices: Tuple[int, ...], base: StoredTensor, stored: StoredTensor
    ) -> JudgedTensor:
        """Single rows are the adapter's (`trainable_token_indices`), all others the base's."""
        rest = self.untouched(name, base, stored)
        columns = columns_of(stored.shape)
        values = rows_of(self._reader, brought, 0, _rows(brought), columns)
        bad, lost = [], True
        for number, row in enumerate(indices):
            if not 0 <= row < _rows(stored):
                return JudgedTensor(name, "wrong", True, cause="other-shape", why="it has no row %d" % row)
            found = rows_of(self._reader, stored, row, row + 1, columns)
            mine = rows_of(self._reader, base, row, row + 1, columns) if row < _rows(base) else None
            lost = lost and mine is not None and bool((bits(mine.to(found.dtype)) == bits(found)).all())
            if not bool((bits(values[number : number + 1].to(found.dtype)) == bits(found)).all()):
                bad.append(row)
        others = rest.wrong_rows - len([row for row in indices if self._differs(base, stored, row, columns)])
        if bad:
            cause = "not-applied" if lost else "other-values"
            why = "%d of the %d trained rows are not the adapter's" % (len(bad), len(indices))
            return JudgedTensor(
                name, "wrong", True, cause=cause, why=why, rows=tuple(bad[:_SHOWN]), wrong_rows=len(bad)
            )
        if others > 0:
            left = tuple(row for row in rest.rows if row not in indices)
            why = "%d rows that were not trained are not the base's" % others
            return JudgedTensor(name, "wrong", True, cause="differs-from-base", why=why, rows=left, wrong_rows=others)
        if rest.state == "not-compared":
            return rest._replace(changed=True)
        return JudgedTensor(name, "equal", True, "the adapter's own rows")

    def _differs(self, base: StoredTensor, stored: StoredTensor, row: int, columns: int) -> bool:
        if row >= _rows(base):
            return False
        found = rows_of(self._reader, stored, row, row + 1, columns)
        mine = rows_of(self._reader, base, row, row + 1, columns)
        return not bool((bits(mine.to(found.dtype)) == bits(found)).all())


def rows_of(reader: Reader, tensor: StoredTensor, first: int, last: int, columns: int) -> torch.Tensor:
    """Rows of a stored tensor as rows by columns, in its own dtype."""
    if not tensor.shape:
        return reader.whole(tensor).reshape(1, 1)
    return reader.rows(tensor, first, last).reshape(last - first, columns)


def larger(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The larger of two sizes, element by element; what is not finite counts as the first."""
    import torch

    return torch.maximum(one.abs(), torch.nan_to_num(other, 0.0, 0.0, 0.0).abs())


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The bit patterns of a floating tensor, so that −0 is not 0 and a NaN equals itself."""
    import torch

    sizes = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.contiguous().view(sizes[tensor.element_size()])


def is_narrower(stored: StoredTensor, other: StoredTensor) -> bool:
    """Whether a conversion from `other` to `stored` may round."""
    order = {"F16": 1, "BF16": 1, "F32": 2, "F64": 3}
    return stored.dtype != other.dtype and order.get(stored.dtype, 0) <= order.get(other.dtype, 0)


def _rows(tensor: StoredTensor) -> int:
    return tensor.shape[0] if tensor.shape else 1
