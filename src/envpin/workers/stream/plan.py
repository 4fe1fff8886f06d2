"""From a wrapped skeleton to a plan: every adapter tensor in one operation, every output tensor with one source.

A plan that cannot be made raises `not-streamable` with the reason, and nothing has been written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Set

from ..requests import StreamMergeRequest
from .adapters import TAG
from .dtypes import pefts_dtypes, rehearse
from .fused import Fused
from .io.files import OutputFile, StoredTensor, WeightFolder, refuse
from .layout import lay_out
from .operations import Operation, Slot, operations_of
from .skeleton import Skeleton
from .ties import digest, settle_ties

if TYPE_CHECKING:
    import torch


class StreamPlan(NamedTuple):
    operations: List[Operation]
    files: List[OutputFile]
    index_name: Optional[str]
    config_updates: Dict[str, object]
    repeated: List[str]


def make(skeleton: Skeleton, base: WeightFolder, request: StreamMergeRequest) -> StreamPlan:
    operations, untied, extra = settle_ties(skeleton, operations_of(skeleton))
    rehearse(operations)
    repeated = _account(skeleton, operations)
    _check_sources(skeleton, operations, extra)
    updates: Dict[str, object] = dict(skeleton.config_updates)
    if request.quantized:
        updates["quantization_config"] = None  # the merged model is a plain one
    if untied:
        updates["tie_word_embeddings"] = False
    if request.embedding.grown is not None:
        updates["vocab_size"] = request.embedding.grown
    if request.dtype == "peft":
        skeleton.output_dtypes = pefts_dtypes(skeleton, operations)
    files, index_name = lay_out(operations, extra, skeleton, base, request)
    return StreamPlan(operations, files, index_name, updates, repeated)


def _account(skeleton: Skeleton, operations: List[Operation]) -> List[str]:
    """Every tensor of the adapter is used once, or repeats one that is; returns those that repeat."""
    used: Dict[str, Operation] = {}
    for one in operations:
        for name in one.adapter_tensors:
            if name in used and one.outputs and used[name].outputs and one.kind != "trainable_tokens":
                raise refuse("`%s` would be used twice, in `%s` and `%s`" % (name, used[name].path, one.path))
            used[name] = one
    left = sorted(set(skeleton.adapter) - set(used))
    repeated = [name for name in left if _repeats(skeleton, name, set(used))]
    lost = [name for name in left if name not in repeated]
    if lost:
        message = "peft puts %d of the adapter's %d tensors nowhere: `%s`"
        raise refuse(message % (len(lost), len(skeleton.adapter), lost[0]), tensors=lost[:200])
    seen: Set[str] = set()
    for name in (output.name for one in operations for output in one.outputs):
        if name in seen:
            raise refuse("`%s` would be written by two operations" % name)
        seen.add(name)
    return repeated


def _repeats(skeleton: Skeleton, name: str, used: Set[str]) -> bool:
    """peft writes a module of `modules_to_save` up to three times when embeddings are saved too: under its own name,
    which it reads back; under `modules_to_save`; and the frozen original, which nothing reads."""
    if ".original_module." in name:
        return name.replace(".original_module.", ".") in used
    if ".token_adapter." in name:  # tied tables share their trained rows, which are under both names once they grew
        end = name[name.index(".token_adapter.") :]
        same = [one for one in used if one.endswith(end)]
        return any(digest(skeleton.adapter[one]) == digest(skeleton.adapter[name]) for one in same)
    own = name.replace(".modules_to_save.", ".")
    return own != name and own in used and digest(skeleton.adapter[own]) == digest(skeleton.adapter[name])


def _check_sources(skeleton: Skeleton, operations: List[Operation], extra: Dict[str, str]) -> None:
    """Whatever is read from the base is there in full, and a grown table is replaced in full."""
    for one in operations:
        for slot in one.slots:
            if slot.source != "base" or not one.outputs:
                continue
            if slot.name in skeleton.fused:
                _check_fused(skeleton.fused[slot.name], slot)
                continue
            stored = skeleton.stored(slot.name)
            if stored is None:
                raise refuse(
                    "`%s` is not in the base's files as one tensor (it is fused or split on loading)" % slot.name
                )
            if stored.shape != tuple(slot.parameter.shape):
                raise refuse("`%s` grew, and the adapter does not bring its new rows" % slot.name)
    written = {output.key for one in operations for output in one.outputs}
    for name, parameter in skeleton.inner.named_parameters(remove_duplicate=False):
        if getattr(parameter, TAG, ("", ""))[0] != "base" or name in written or name not in skeleton.names:
            continue
        if skeleton.names[name].shape != tuple(parameter.shape) and not written & set(skeleton.partners.get(name, [])):
            raise refuse("`%s` grew, and the adapter does not bring its new rows" % name)
    _check_buffers(skeleton)
    parameters = dict(skeleton.inner.named_parameters(remove_duplicate=False))
    for key in extra.values():
        stored = skeleton.stored(key)
        if stored is not None and key in parameters and stored.shape != tuple(parameters[key].shape):
            raise refuse("`%s` grew and is no longer tied, and the adapter does not bring its new rows" % key)
    if extra and any(skeleton.stored(key) is None for key in extra.values()):
        raise refuse("a head that is no longer tied has no stored tensor to start from")


def _check_buffers(skeleton: Skeleton) -> None:
    """`final_logits_bias` of BART and its like grows with the vocabulary, as only transformers does it."""
    for name, buffer in skeleton.inner.named_buffers():
        if name in skeleton.names and skeleton.names[name].shape != tuple(buffer.shape):
            raise refuse("`%s` grows with the vocabulary" % name)


def _check_fused(fused: Fused, slot: Slot) -> None:
    def empty(tensor: StoredTensor) -> torch.Tensor:
        return slot.parameter.new_empty(tensor.shape)

    if not fused.is_reversible(tuple(slot.parameter.shape), empty):
        raise refuse("`%s` is fused from several tensors in a way that cannot be undone by itself" % slot.name)
