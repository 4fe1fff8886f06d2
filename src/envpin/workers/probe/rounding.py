"""How far a right merge may answer from its adapter: what rounding alone makes of it, measured on this model.

Two things lie between `base + adapter` and the merged model. The merged weights were rounded to the dtype of their
files: relative to what the adapter changed that is measured on rows of the files themselves. And the models compute in
some precision, which moves their outputs by about `eps · |outputs| · sqrt(layers)`. What was measured of the two on
tiny models and adapters of all kinds and dtypes is in docs/explanation/the-gate.md.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Dict, List, Optional

from ..protocol import KnownError
from ..results import ProbeFigures
from ..runtime.loading import read_json
from ..stream.io.files import StoredTensor, WeightFolder
from ..stream.io.reader import Reader

if TYPE_CHECKING:
    import torch

_FLOAT32 = 2.0**-24
_ROUNDOFF = {"BF16": 2.0**-9, "F16": 2.0**-12, "F32": _FLOAT32, "F64": 2.0**-53}
_ROWS = 16


def calibrated(
    figures: ProbeFigures, *, base: str, merged: str, outputs: torch.Tensor, in_float32: bool = False
) -> ProbeFigures:
    """The figures with the ratio |merged - adapter| / |adapter - base| that rounding alone explains. `base` and
    `merged` are folders, `outputs` are those of the base; the models were asked `in_float32`, or in the dtype of their
    files. It stays None where it cannot be told: the base's files are quantized, nothing changed, or a value is not
    finite."""
    try:
        ours, theirs = WeightFolder(base).tensors, WeightFolder(merged).tensors
    except KnownError:
        return figures
    weights = _of_weights(ours, theirs)
    if weights is None or not figures.moved:
        return figures
    before, after = _unit_roundoff(ours), _unit_roundoff(theirs)
    eps = _FLOAT32 if in_float32 else max(before, after)
    if after > before:
        eps = max(eps, after)  # every weight was rounded, not only those that the adapter changes
    size = float(outputs.double().pow(2).mean().sqrt())
    total = weights + eps * size / figures.moved * (1 + _layers(base)) ** 0.5
    return figures._replace(expected=total if math.isfinite(total) else None)


def _unit_roundoff(tensors: Dict[str, StoredTensor]) -> float:
    """Half the distance between 1 and its neighbour, in the dtype that most of a model is stored in."""
    sizes = {dtype: sum(one.size for one in tensors.values() if one.dtype == dtype) for dtype in _ROUNDOFF}
    return _ROUNDOFF[max(sizes, key=lambda one: sizes[one])]


def _layers(folder: str) -> int:
    """How many layers the config of a model says that it has; 0 where it does not say."""
    config = read_json(os.path.join(folder, "config.json"))
    for one in (config, config.get("text_config"), config.get("decoder")):
        for name in ("num_hidden_layers", "n_layer", "num_layers"):
            found = one.get(name) if isinstance(one, dict) else None
            if isinstance(found, int):
                return max(0, found)
    return 0


def _of_weights(ours: Dict[str, StoredTensor], theirs: Dict[str, StoredTensor]) -> Optional[float]:
    """sqrt(Σ rounding² / Σ change²) over sampled rows of every tensor that the merge changed."""
    pairs = [(ours[name], theirs[name]) for name in sorted(set(ours) & set(theirs)) if _alike(ours[name], theirs[name])]
    if not pairs:
        return None
    reader = Reader()
    try:
        sums = [_sums(reader, one, other) for one, other in pairs]
    finally:
        reader.close()
    change = sum(pair[1] for pair in sums)
    return (sum(pair[0] for pair in sums) / change) ** 0.5 if change else None


def _alike(one: StoredTensor, other: StoredTensor) -> bool:
    return one.shape == other.shape and bool(one.shape) and {one.dtype, other.dtype} <= set(_ROUNDOFF)


def _sums(reader: Reader, base: StoredTensor, merged: StoredTensor) -> List[float]:
    """Squared rounding and squared change of some rows; nothing where they are equal."""
    import torch

    step = max(1, base.shape[0] // _ROWS)
    rows = range(0, base.shape[0], step)
    before = reader.some_rows(base, rows)
    found = reader.some_rows(merged, rows)
    if before.dtype == found.dtype and torch.equal(before, found):
        return [0.0, 0.0]
    change = found.double() - before.double()
    info = torch.finfo(found.dtype)
    # found = m * 2**e with 1/2 <= |m| < 1, so that what is between it and its neighbour is 2**(e - 1) * eps.
    _, exponents = torch.frexp(found.double().abs().clamp_min(info.tiny))
    ulp = torch.exp2(exponents.double() - 1) * info.eps
    return [float((ulp * ulp / 12).sum()), float((change * change).sum())]
