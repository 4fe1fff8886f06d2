"""What the verdicts on tensors add up to."""

import math
from typing import Dict, Iterable

from ..results import JudgedTensor, TensorCounts
from ..stream.io.files import StoredTensor


def counts(judged: Iterable[JudgedTensor]) -> TensorCounts:
    states = [one.state for one in judged]
    return TensorCounts(*(states.count(word) for word in ("equal", "rounding", "not-compared", "wrong")))


def finite(one: JudgedTensor) -> JudgedTensor:
    """JSON cannot carry infinities."""
    sound = one.factor is not None and one.error is not None and math.isfinite(one.factor) and math.isfinite(one.error)
    return one if sound else one._replace(factor=None, error=None)


def dtypes(tensors: Dict[str, StoredTensor]) -> Dict[str, int]:
    found: Dict[str, int] = {}
    for one in tensors.values():
        found[one.dtype] = found.get(one.dtype, 0) + 1
    return found
