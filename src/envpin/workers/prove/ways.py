"""The ways in which a right merge may have been computed and rounded, and those that lose precision on the way.

Each way is a function of the start and the change that never falls as either grows. So a stored value is explained by
it exactly if it lies between what the way makes of (start, change − noise) and (start, change + noise), where noise is
what float32 arithmetic may be off by: no allowance beyond that is needed, and none is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, List, NamedTuple, Optional, Tuple

from .expected import Block, Expected

if TYPE_CHECKING:
    import torch


_LOW = ("bfloat16", "float16")
_WORDS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float64": "fp64"}


class Way(NamedTuple):
    """`factors`, `change` and `total` name the dtypes that the factors, the change (`times` times) and the sum pass
    through; `start` the dtype that the base was converted to first; `throughout` is the one that all of a
    DoRA merge is made in, `magnitude` that of its magnitude; `taken` that of a merged weight from which the base was
    taken off again, to be added once more. `cause` is set where the way is a fault."""

    words: str
    factors: Optional[torch.dtype] = None
    change: Optional[torch.dtype] = None
    times: int = 0
    start: Optional[torch.dtype] = None
    total: Optional[torch.dtype] = None
    cause: Optional[str] = None
    throughout: Optional[torch.dtype] = None
    magnitude: Optional[torch.dtype] = None
    taken: Optional[torch.dtype] = None

    def block(self, expected: Expected, first: int, last: int) -> Block:
        """The rows that this way starts from."""
        if self.throughout is not None:
            return expected.dora_in(first, last, self.throughout, self.times)
        return expected.block(first, last, self.factors, self.start, self.magnitude)

    def explains(self, block: Block, scale: float, stored: torch.Tensor) -> torch.Tensor:
        """Which elements of `stored` this way explains."""
        low = self.predict(block.low, block.delta - block.noise, scale, stored.dtype)
        high = self.predict(block.high, block.delta + block.noise, scale, stored.dtype)
        return (low <= stored) & (stored <= high)

    def predict(self, start: torch.Tensor, delta: torch.Tensor, scale: float, dtype: torch.dtype) -> torch.Tensor:
        if self.taken is not None:
            delta = ((start + delta).to(self.taken).double() - start).to(self.taken).double()
        if self.change is not None:
            if self.times == 2 and scale:
                delta = (delta / scale).to(self.change).double() * scale
            delta = delta.to(self.change).double()
        total = start + delta
        if self.total is not None:
            total = total.to(self.total).double()
        return total.to(dtype)


ONCE = Way("rounded once")


class Dtypes(NamedTuple):
    """Of a base tensor, of the merged one, of most of the merged model, and of the adapter's factors."""

    base: Optional[torch.dtype]
    merged: torch.dtype
    usual: torch.dtype
    adapter: torch.dtype

    def low(self) -> List[torch.dtype]:
        """The 16-bit ones among them that a right merge may round to."""
        found = (self.base, self.merged, self.adapter, self.usual)
        return [one for one in dict.fromkeys(found) if one is not None and is_low(one)]


def ways(dtypes: Dtypes, kind: str) -> List[Way]:
    """Every way to try for a change of this kind, and for tensors of these dtypes: `ONCE` first, faults last."""
    found = [ONCE, *_right(dtypes, kind == "low-rank")] if dtypes.base is not None else [ONCE]
    if kind == "dora":
        found += [way for dtype in dtypes.low() for way in _dora(dtype)]
        if dtypes.base is not None and is_low(dtypes.base):
            # axolotl lets peft merge a layer, takes the base off, and adds what is left.
            words = "the change taken from a merge in %s" % name_of(dtypes.base)
            found.append(Way(words, taken=dtypes.base))
    found += _faulty(dtypes)
    return list(dict.fromkeys(found))


def _dora(dtype: torch.dtype) -> Iterator[Way]:
    name = name_of(dtype)
    # peft up to 0.13 reads an adapter into parameters of the base's dtype, and computes in float32 from there.
    for factors in (dtype, None):
        for start in (None, dtype):
            yield Way("the adapter rounded to %s" % name, factors=factors, start=start, magnitude=dtype)
    for times in (1, 2):
        yield Way("DoRA computed in %s throughout" % name, throughout=dtype, times=times)


def _right(dtypes: Dtypes, low_rank: bool) -> Iterator[Way]:
    base, merged = dtypes.base, dtypes.merged
    totals: List[Tuple[Optional[torch.dtype], Optional[torch.dtype], str]] = [(None, None, "")]
    others = [one for one in dict.fromkeys((merged, dtypes.usual)) if base != one and is_low(one)]
    totals += [(one, None, "the base converted to %s first" % name_of(one)) for one in others]
    if base is not None and base != merged and is_low(base):
        totals.append((None, base, "merged in the base's %s, then converted" % name_of(base)))
    for start, total, words in totals:
        yield Way(words or "rounded once", start=start, total=total)
        if not low_rank:
            continue
        for dtype in dtypes.low():
            yield from _in(dtype, dtypes.adapter, start, total, words)


def _in(
    dtype: torch.dtype, adapter: torch.dtype, start: Optional[torch.dtype], total: Optional[torch.dtype], words: str
) -> Iterator[Way]:
    name = name_of(dtype)
    after = "; " + words if words else ""
    for factors in [None] if adapter == dtype else [None, dtype]:
        first = "the factors and " if factors is not None else ""
        for times in (1, 2):
            often = " twice" if times == 2 else ""
            yield Way(
                "%sthe change rounded to %s%s%s" % (first, name, often, after), factors, dtype, times, start, total
            )
        if factors is not None:
            yield Way("the factors rounded to %s%s" % (name, after), factors, None, 0, start, total)


def _faulty(dtypes: Dtypes) -> Iterator[Way]:
    import torch

    for name in _LOW:
        dtype = getattr(torch, name)
        if dtype in (dtypes.base, dtypes.merged, dtypes.usual):
            continue
        cause = "rounded-twice" if is_low(dtypes.merged) else "precision-lost"
        words = "rounded to %s on the way" % name_of(dtype)
        yield Way(words, start=dtype, total=dtype, cause=cause)
        yield Way(words, total=dtype, cause=cause)
        yield Way(words, change=dtype, times=1, start=dtype, total=dtype, cause=cause)


def is_low(dtype: torch.dtype) -> bool:
    return str(dtype).replace("torch.", "") in _LOW


def name_of(dtype: torch.dtype) -> str:
    name = str(dtype).replace("torch.", "")
    return _WORDS.get(name, name)
