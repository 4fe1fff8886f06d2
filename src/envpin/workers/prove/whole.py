"""Kinds whose layers say too little by themselves (AdaLoRA, BOFT, VeRA: their loader changes the base, or keeps what
all layers share): the environment's own peft merges the whole model again, in memory, and once more in float64 where
the bits differ.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Union

from ..protocol import KnownError
from ..requests import MergeRequest, ProveRequest
from ..results import JudgedTensor
from ..runtime import accounting, loading
from ..runtime.accounting import LoadWatch
from ..runtime.bits import equal_bits
from ..stream.io.files import StoredTensor, WeightFolder
from ..stream.io.reader import Reader
from .by_peft import Pair, at_once, in_double, shares, way_of
from .changes import TensorChange

if TYPE_CHECKING:
    import torch

# The base in its own dtype and in float64, and the float32 that a layer is merged in.
_TIMES = 6
_STRAY = 1e-3


class WholeMerge(NamedTuple):
    """What peft makes of each tensor of the base, by its name in the base's files."""

    request: ProveRequest
    made: Dict[str, torch.Tensor]


def merge(request: ProveRequest) -> Union[WholeMerge, str]:
    """The merge made again; where that cannot be, why not. Made twice, with other random numbers: a kind that draws
    them on loading has no merge to compare with."""
    from ..probe.stream_answers import free_memory

    try:
        import peft
        import transformers  # noqa: F401  both are needed, and either may be absent
    except ImportError as error:
        return "this environment has no %s" % error.name
    needed = _TIMES * sum(os.path.getsize(os.path.join(request.base.folder, one)) for one in request.base.files)
    free = free_memory()
    if free is not None and needed > free:
        return "a merge in memory needs %.1f GB, and %.1f are free" % (needed / 1e9, free / 1e9)
    try:
        made, other = (_made(request, seed, wide=False) for seed in (0, 1))
    except KnownError as error:
        return "peft %s: %s" % (peft.__version__, error.message)
    if any(not equal_bits(made[name], other[name]) for name in made):
        return "peft %s merges it otherwise each time: loading it draws random numbers" % peft.__version__
    return WholeMerge(request, made)


def changed(found: WholeMerge, base: Dict[str, StoredTensor], reader: Reader) -> List[str]:
    """The base's tensors that merging changes."""
    return [
        name
        for name, tensor in found.made.items()
        if name in base and not equal_bits(tensor, reader.whole(base[name]).to(tensor.dtype))
    ]


def judge(
    found: WholeMerge, wanted: Dict[str, StoredTensor], base: Dict[str, StoredTensor], reader: Reader
) -> Dict[str, JudgedTensor]:
    """The verdict on each of the `wanted` tensors of the merged model (by their names in the base)."""
    verdicts: Dict[str, JudgedTensor] = {}
    unequal: Dict[str, Pair] = {}
    for name, stored in wanted.items():
        there, start = reader.whole(stored), reader.whole(base[name]) if name in base else None
        verdict = at_once(name, found.made[name], there, start)
        if verdict is None:
            unequal[name] = Pair(there, start)
        else:
            verdicts[name] = verdict
    if unequal:
        verdicts.update(_in_double(found, unequal))
    return verdicts


def unseen(left: Dict[str, TensorChange], found: WholeMerge) -> Dict[str, TensorChange]:
    """Those of the changes that the merge again says nothing of: neither under the tensor's own name, nor under one of
    its module (`in_proj_weight` of a MultiheadAttention)."""
    return {
        name: change
        for name, change in left.items()
        if name not in found.made and not any(one.startswith(change.module + ".") for one in found.made)
    }


def _in_double(found: WholeMerge, unequal: Dict[str, Pair]) -> Dict[str, JudgedTensor]:
    try:
        exact = _made(found.request, 0, wide=True)
    except (KnownError, RuntimeError, NotImplementedError, ValueError) as error:
        why = "peft does not merge it in float64: %s" % " ".join(str(error).split())[:200]
        return {name: JudgedTensor(name, "not-compared", True, why=why) for name in unequal}
    verdicts = {}
    for name, pair in unequal.items():
        here, wide = found.made[name], exact[name].double()
        # Where a way of rounding explains what peft makes here, one has to explain what anybody else made, but for
        # elements between two neighbours, which two runs of the same code may round either way.
        strict = way_of(Pair(here, pair.start), wide, here.dtype) is not None
        strict = strict and all(share < 1 - _STRAY for _, share in shares(pair, wide, here.dtype))
        verdicts[name] = in_double(name, pair, wide, None, here.dtype, strict=strict)
    return verdicts


def _made(request: ProveRequest, seed: int, *, wide: bool) -> Dict[str, torch.Tensor]:
    import torch

    from ..peft_engine import reproducible, saving
    from ..peft_engine.merge import read_adapters
    from ..stream.skeleton import name_map

    body = MergeRequest(
        base=request.base.folder, adapter=request.adapter.folder, staging="", answers="",
        embedding=request.embedding, architecture=request.architecture, quantized=request.quantized,
    )  # fmt: skip
    (adapter,) = read_adapters(body)
    config = loading.read_json(os.path.join(body.adapter, "adapter_config.json"))
    reproducible.settle([adapter.source])
    labels = loading.labels_of([(adapter.source.folder, adapter.shapes)])
    architecture, _ = saving.class_of(body, config, labels, list(adapter.tensors))
    base = loading.load_base(body.base, config, architecture, labels=labels, quantized=body.quantized)
    if body.embedding.grown is not None:
        torch.manual_seed(0)
        base.resize_token_embeddings(body.embedding.grown)
    if wide:
        base = base.double()
    torch.manual_seed(seed)
    watch = LoadWatch()
    model = loading.load_adapters(base, [adapter.source], [watch])
    lost = accounting.account(model, adapter.tensors, adapter.source.name, watch).lost
    if lost:
        raise KnownError("adapter-not-applied", "it drops %d of the adapter's tensors: `%s`" % (len(lost), lost[0]))
    merged = reproducible.merge(model.double() if wide else model)
    names, fused = name_map(merged, WeightFolder(body.base))
    state = merged.state_dict()
    made = {tensor.name: state[key].detach() for key, tensor in names.items()}
    for key, one in fused.items():
        made.update(one.split(state[key].detach()))
    return made
