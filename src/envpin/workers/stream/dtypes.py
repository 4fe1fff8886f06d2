"""The dtypes that the pinned peft's own merge leaves behind: float32 where a kind of adapter computes in it and does
not round back, and where transformers keeps a module in float32. Asked for with `"dtype": "peft"`.

Each layer is merged once on the meta device, where only shapes and dtypes are computed.
"""

from typing import Any, Dict, List

from .layers import forget_merge, frozen, merge_unit
from .operations import Operation
from .skeleton import Skeleton

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


def _merged_dtypes(one: Operation) -> Dict[str, Any]:
    if one.unit is None:
        return {output.path: one.slots[0].parameter.dtype for output in one.outputs}
    placed = []
    try:
        for slot in one.slots:
            placed.append((slot.owner, slot.attribute, getattr(slot.owner, slot.attribute)))
            setattr(slot.owner, slot.attribute, frozen(slot.parameter.data.clone()))
        return {path: parameter.dtype for path, parameter in merge_unit(one.unit).named_parameters()}
    finally:
        for owner, attribute, parameter in placed:
            setattr(owner, attribute, parameter)
        forget_merge(one.unit)
