"""The dtypes that the pinned peft's own merge leaves behind: float32 where a kind of adapter computes in it and does
not round back, and where transformers keeps a module in float32. Asked for with `"dtype": "peft"`.

Each layer is merged once on the meta device, where only shapes and dtypes are computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Set, Tuple

from ..runtime.loading import one_paragraph
from .io.files import refuse
from .layers import merge_unit, put_in_place
from .operations import Operation
from .skeleton import Skeleton

if TYPE_CHECKING:
    import torch

_NAMES = {"torch.bfloat16": "BF16", "torch.float16": "F16", "torch.float32": "F32", "torch.float64": "F64"}


def pefts_dtypes(skeleton: Skeleton, operations: List[Operation]) -> Dict[str, str]:
    """The safetensors dtype of every tensor that the model of this environment would be saved with, by its name in the
    files."""
    found: Dict[str, str] = {}
    for key, parameter in skeleton.inner.named_parameters(remove_duplicate=False):
        fused = skeleton.fused.get(key)
        stored = skeleton.names.get(key)
        for one in [source for _, source in fused.sources] if fused else [stored] if stored else []:
            found[one.name] = _NAMES.get(str(parameter.dtype), one.dtype)
    for operation in operations:
        dtypes = _merged_dtypes(operation)
        found.update({output.name: _NAMES[str(dtypes[output.path])] for output in operation.outputs})
    return found


def _merged_dtypes(one: Operation) -> Dict[str, torch.dtype]:
    if one.unit is None:
        return {output.path: one.slots[0].parameter.dtype for output in one.outputs}
    with put_in_place(one) as put:
        for slot in one.slots:
            put(slot, slot.parameter.data.clone())
        return {path: parameter.dtype for path, parameter in merge_unit(one.unit).named_parameters()}


def rehearse(operations: List[Operation]) -> None:
    """Merge the first layer of each class without its weights: what peft cannot merge at all, or not without the
    weights that it was made on, comes out before anything is written.

    Not those that the calibration merges in blocks with their weights, before anything is written too. Arithmetic on
    the meta device imports torch's compiler, which takes longer than merging some hundred million parameters.
    """
    seen: Set[Tuple[object, ...]] = set()
    for one in operations:
        key = (type(one.unit), one.kind, len(one.slots))
        if one.unit is None or one.sides or key in seen:
            continue
        seen.add(key)
        try:
            _merged_dtypes(one)
        except Exception as error:  # each method refuses in a way of its own
            raise refuse("peft does not merge `%s`: %s" % (one.path, one_paragraph(error, 300))) from error
