"""Factors whose lengths follow from both widths of a module and the method's own settings: LoKr, SHiRA, RoAd. Pure.

As peft 0.21 makes them on linear layers (peft/tuners/lokr, shira, road `layer.py`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Shape = tuple[int, ...]
# How many numbers each variant of RoAd has for an output.
_ROAD = {"road_1": (1, 2), "road_2": (1, 1), "road_4": (2, 1)}
_LOKR = {"lokr_w1": "w1", "lokr_w1_a": "w1", "lokr_w1_b": "w1", "lokr_w2": "w2", "lokr_w2_a": "w2", "lokr_w2_b": "w2"}
KINDS = frozenset({*_LOKR, "shira_weight", "road_theta", "road_alpha"})
# `factorization` goes through the numbers below a width, which is long for one that no layer has.
_WIDEST = 2_000_000


def own_lengths(kind: str, shape: Shape, base: Shape, settings: Mapping[str, object]) -> Shape | None:
    """The shape that a tensor of this kind has on a module of shape `base` [out, in], at its own rank; None where the
    settings of the method do not say."""
    out, into = base
    if kind in _LOKR:
        return _of_lokr(kind, shape, out, into, settings.get("decompose_factor", -1))
    if kind == "shira_weight":
        rank = settings.get("r")
        if type(rank) is not int or settings.get("rank_pattern"):
            return None
        return (rank * (out + into),)
    times, parts = _ROAD.get(str(settings.get("variant", "road_1")), (0, 1))
    return (out * times // parts,) if times else None


def _of_lokr(kind: str, shape: Shape, out: int, into: int, factor: object) -> Shape | None:
    if type(factor) is not int or (factor < 1 and factor != -1) or len(shape) != 2 or max(out, into) > _WIDEST:
        return None
    at = 0 if _LOKR[kind] == "w1" else 1
    rows, columns = factorization(out, factor)[at], factorization(into, factor)[at]
    if kind.endswith("_a"):
        return rows, shape[1]
    return (shape[0], columns) if kind.endswith("_b") else (rows, columns)


@lru_cache(maxsize=256)  # a model has few widths
def factorization(dimension: int, factor: int) -> tuple[int, int]:
    """Two numbers whose product is `dimension`, the smaller first; as peft does it, of -1 the closest."""
    if factor > 0 and dimension % factor == 0:
        return (factor, dimension // factor)
    most = dimension if factor == -1 else factor
    small, large = 1, dimension
    length = small + large
    while small < large:
        following = next(one for one in range(small + 1, dimension + 1) if dimension % one == 0)
        other = dimension // following
        if following + other > length or following > most:
            break
        small, large = following, other
    return min(small, large), max(small, large)
