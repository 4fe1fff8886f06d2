"""What is wrong with a tensor that no way of rounding explains: in words, with figures, and where.

Looked at, in this order: what is not finite; nothing applied; few wrong rows; a scale (measured by least squares); the
change of another layer, or the factors of two; a transposed change; missing rank directions; a base that was
quantized; another base; another adapter. A cause is named only where it leaves no more than rounding explains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..results import JudgedTensor
from ..runtime.bits import ulp
from ..stream.io.files import StoredTensor
from ..stream.io.reader import Reader
from .expected import Expected, UnfitError, columns_of
from .judge import FLOATS, Judge, Sums, larger, rows_of
from .quantizers import requantized
from .ways import Dtypes, is_low, name_of

if TYPE_CHECKING:
    import torch


_SAMPLE = 96
_CANDIDATES = 256
_SHOWN = 8
# What is left may be this much larger than the rounding of one right merge: a wrong one is often rounded twice.
_SLACK = 4.0
_NAMED = ((2.0, "applied-twice", "the change was applied twice"), (-1.0, "sign", "the change was subtracted"),
          (-2.0, "sign", "the change was subtracted, twice over"))  # fmt: skip


class Suspect(NamedTuple):
    """A wrong tensor, and what it is judged against."""

    name: str
    expected: Expected
    stored: StoredTensor
    dtypes: Dtypes


class Sample(NamedTuple):
    """Some rows of a suspect in float64: where it started, what should have moved it, what moved it."""

    rows: List[int]
    start: torch.Tensor
    delta: torch.Tensor
    moved: torch.Tensor
    rounding: float

    def left_after(self, delta: torch.Tensor) -> float:
        return float((self.moved - delta).pow(2).sum())


class Causes:
    """Finds causes. `others` gives every change of the adapter that has a shape, by the tensor it belongs to."""

    def __init__(self, judge: Judge, reader: Reader, others: Dict[str, Expected]) -> None:
        self._judge = judge
        self._reader = reader
        self._others = others

    def find(self, suspect: Suspect) -> JudgedTensor:
        """The suspect with its cause."""
        way = self._judge.likeliest(suspect.expected, suspect.stored, suspect.dtypes)
        sums = self._judge.sums(suspect.expected, suspect.stored, way)
        shown = JudgedTensor(suspect.name, "wrong", True, rows=tuple(sums.rows[:_SHOWN]), wrong_rows=len(sums.rows))
        plain = _at_once(sums, shown)
        if plain is not None:
            return plain
        shown = shown._replace(factor=sums.factor, error=sums.error)
        found = self._few_rows(suspect, sums, shown) or _scale(sums, suspect.expected, shown)
        if found is not None:
            return found
        sample = self._sample(suspect, sums.rows)
        looks = (self._layers, self._transposed, self._ranks, self._quantized)
        found = next((one for one in (look(suspect, sample, shown) for look in looks) if one is not None), None)
        if found is not None:
            return found
        if _is_in_it(sums):
            why = "the change is in it, on top of other weights than the base's"
            return shown._replace(cause="other-base", why=why)
        return shown._replace(cause="other-change", why="what changed is not this adapter's change")

    def of_untouched(self, verdict: JudgedTensor, base: StoredTensor, stored: StoredTensor) -> JudgedTensor:
        """Why a tensor that the adapter does not touch is not the base's, where a round trip explains it."""
        import torch

        count, columns = base.shape[0] if base.shape else 1, columns_of(base.shape)
        if base.dtype not in FLOATS or not verdict.rows:
            return verdict
        rows = [rows_of(self._reader, base, row, row + 1, columns) for row in verdict.rows]
        found = torch.cat([rows_of(self._reader, stored, row, row + 1, columns) for row in verdict.rows])
        start = torch.cat(rows)
        for dtype in (torch.bfloat16, torch.float16):
            if bool((start.to(dtype).to(found.dtype) == found).all()):
                cause = "rounded-twice" if is_low(found.dtype) else "precision-lost"
                why = "it went through %s: %d of its %d rows differ" % (name_of(dtype), verdict.wrong_rows, count)
                return verdict._replace(cause=cause, why=why)
        if columns > 1:
            wide = start.double()
            rounding = float((ulp(wide, found.dtype).pow(2) / 12).sum())
            trip = requantized(wide, torch.zeros_like(wide), found.double(), rounding)
            if trip is not None:
                return verdict._replace(cause="requantized", why=trip)
        return verdict

    def _few_rows(self, suspect: Suspect, sums: Sums, shown: JudgedTensor) -> Optional[JudgedTensor]:
        """A handful of wrong rows in a table that is right otherwise."""
        rows = suspect.expected.rows
        if not 0 < len(sums.rows) <= max(1, min(16, rows // 16)) or suspect.expected.columns < 2:
            return None
        listed = ", ".join(str(row) for row in sums.rows[:_SHOWN])
        why = "row %s of %d is wrong, the others are right" % (listed, rows)
        if len(sums.rows) > 1:
            why = "rows %s of %d are wrong, the others are right" % (listed, rows)
        return shown._replace(cause="wrong-rows", why=why, factor=None, error=None)

    def _sample(self, suspect: Suspect, wrong: List[int]) -> Sample:
        import torch

        expected = suspect.expected
        step = max(1, len(wrong) // _SAMPLE)
        rows = sorted(set((wrong or list(range(expected.rows)))[::step]))
        parts = [expected.block(row, row + 1) for row in rows]
        start = torch.cat([one.low for one in parts])
        delta = torch.cat([one.delta for one in parts])
        found = torch.cat([rows_of(self._reader, suspect.stored, row, row + 1, expected.columns) for row in rows])
        rounding = float((ulp(larger(start + delta, found.double()), found.dtype).pow(2) / 12).sum())
        rounding += sum(float((one.noise / 3).pow(2).sum()) for one in parts)
        return Sample(rows, start, delta, found.double() - start, rounding)

    def _layers(self, suspect: Suspect, sample: Sample, shown: JudgedTensor) -> Optional[JudgedTensor]:
        """The change of another layer, or A of one with B of another."""
        best: Optional[Tuple[float, str, str]] = None
        own = suspect.expected
        for name, other in self._alike(suspect):
            for words, delta in _crossed(own, other, sample.rows):
                left = sample.left_after(delta)
                if best is None or left < best[0]:
                    best = (left, name, words)
        if best is None or best[0] > _SLACK * sample.rounding or best[0] > 0.5 * sample.left_after(sample.delta):
            return None
        cause = "other-layer" if best[2] == "both" else "factors-swapped"
        why = {
            "both": "it carries the change of `%s`",
            "left": "its change was made with B of `%s`",
            "right": "its change was made with A of `%s`",
        }[best[2]]
        return shown._replace(cause=cause, why=why % best[1], other=best[1])

    def _alike(self, suspect: Suspect) -> Iterator[Tuple[str, Expected]]:
        own = suspect.expected
        count = 0
        for name, other in sorted(self._others.items()):
            same = other.shape == own.shape and other.change.kind == own.change.kind == "low-rank"
            if name != suspect.name and same and other.rank == own.rank and count < _CANDIDATES:
                count += 1
                yield name, other

    def _transposed(self, suspect: Suspect, sample: Sample, shown: JudgedTensor) -> Optional[JudgedTensor]:
        own = suspect.expected
        if own.rows != own.columns or own.change.kind != "low-rank" or own.change.right is None:
            return None
        left, right = own.factors(None)
        crossed = own.change.scale * (right.T[sample.rows] @ left.T)
        if sample.left_after(crossed) > _SLACK * sample.rounding:
            return None
        return shown._replace(cause="transposed", why="the change was added transposed")

    def _ranks(self, suspect: Suspect, sample: Sample, shown: JudgedTensor) -> Optional[JudgedTensor]:
        """Each rank direction of the change may have a scale of its own: some of them may be missing."""
        import torch

        own = suspect.expected
        if own.change.kind != "low-rank" or own.rank < 2 or own.rank > 512:
            return None
        left, right = own.factors(None)
        left = own.change.scale * left[sample.rows]
        gram = (left.T @ left) * (right @ right.T)
        sides = (left.T @ sample.moved * right).sum(dim=1)
        scales = torch.linalg.lstsq(gram, sides[:, None]).solution[:, 0]
        if (
            sample.left_after((left * scales) @ right) > _SLACK * sample.rounding
            or float((scales - 1).abs().max()) < 0.05
        ):
            return None
        missing = int((scales.abs() < 0.1).sum())
        if missing:
            return shown._replace(
                cause="rank-lost", why="%d of its %d rank directions are missing" % (missing, own.rank)
            )
        listed = ", ".join("%.3g" % float(one) for one in scales[:6])
        return shown._replace(cause="wrong-scale", why="its rank directions have scales of their own: %s" % listed)

    def _quantized(self, _suspect: Suspect, sample: Sample, shown: JudgedTensor) -> Optional[JudgedTensor]:
        found = requantized(sample.start, sample.delta, sample.moved + sample.start, sample.rounding)
        return None if found is None else shown._replace(cause="requantized", why=found)


def _at_once(sums: Sums, shown: JudgedTensor) -> Optional[JudgedTensor]:
    """What needs no looking for."""
    if not sums.finite:
        return shown._replace(cause="not-finite", why="it holds values that are not finite")
    if sums.change == 0:
        why = "the adapter changes nothing here, and it is not the base's"
        return shown._replace(cause="differs-from-base", why=why)
    if sums.as_start:
        return shown._replace(cause="not-applied", why="it is the base's, to the bit", rows=(), factor=0.0)
    return None


def _is_in_it(sums: Sums) -> bool:
    """Whether the change is there, among others that have nothing to do with it."""
    return abs(sums.factor - 1) < 5 * sums.error and sums.factor > 8 * sums.error


def _scale(sums: Sums, expected: Expected, shown: JudgedTensor) -> Optional[JudgedTensor]:
    """A change that is right but for its scale."""
    if sums.residual > _SLACK * sums.rounding:
        return None
    factor, error = sums.factor, sums.error
    if abs(factor - 1) < 4 * error:
        return None
    near = 5 * error + 0.01
    for value, cause, words in _NAMED:
        if abs(factor - value) < near:
            return shown._replace(cause=cause, why="%s (measured %.4g times)" % (words, factor))
    if abs(factor) < near:
        return shown._replace(cause="not-applied", why="nothing of the change is in it (measured %.2g times)" % factor)
    why = "the change was applied %.5g times (± %.1g)" % (factor, error)
    hint = _of_the_config(factor, error, expected)
    return shown._replace(cause="wrong-scale", why=why + (", " + hint if hint else ""))


def _of_the_config(factor: float, error: float, expected: Expected) -> Optional[str]:
    """Which misreading of alpha and rank the factor fits."""
    scale, rank = expected.change.scale, expected.rank
    guesses = [
        (1 / scale, "as if the scale were 1 and not %.4g" % scale),
        (float(rank), "as if alpha had not been divided by the rank"),
        (rank**0.5, "as if `use_rslora` were set"),
        (rank**-0.5, "as if `use_rslora` were not set"),
        (scale, "as if the scale had been applied twice"),
    ]
    for value, words in guesses:
        if abs(value - 1) > 0.05 and abs(factor - value) < 4 * error + 0.01 * abs(value):
            return words
    return None


def _crossed(own: Expected, other: Expected, rows: List[int]) -> Iterator[Tuple[str, torch.Tensor]]:
    try:
        mine, theirs = own.factors(None), other.factors(None)
    except UnfitError:
        return
    b, a = ("right", "left") if own.change.embedding else ("left", "right")
    yield "both", other.change.scale * (theirs[0][rows] @ theirs[1])
    yield b, own.change.scale * (theirs[0][rows] @ mine[1])
    yield a, own.change.scale * (mine[0][rows] @ theirs[1])
