"""Changes whose formula is not written out here: merged again by the environment's own peft, layer by layer.

The layers are those of the streaming engine (docs/adr/0030): peft's loader on a model without weights. What peft makes
of a layer has to be in the merged model to the bit, or within what rounding allows of the same layer in float64.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from ..protocol import KnownError
from ..requests import ProveRequest, StreamMergeRequest
from ..results import JudgedTensor
from ..runtime.bits import ulp
from ..stream.io.files import StoredTensor, WeightFolder
from ..stream.io.reader import Reader
from .expected import Block
from .judge import bits, larger
from .ways import Dtypes, Way, is_low, ways

if TYPE_CHECKING:
    import torch

    from ..stream.layers import Merger
    from ..stream.operations import Operation
    from ..stream.skeleton import Skeleton


_SLACK = 4.0
# Kinds that add a change, made in the precision of their own parameters.
_ADDED = {"loha", "lokr", "lora-parameter", "vera"}
# Roundings of float32 that a sum of some hundred products in any order may be off by.
_TERMS = 64
_NAMED = {2.0: "applied-twice", -1.0: "sign"}


class PeftLayers(NamedTuple):
    """The layers that peft changes, and the names of the base's tensors that merging them writes."""

    outputs: List[str]
    operations: List[Operation]
    skeleton: Skeleton
    merger: Merger


def plan(request: ProveRequest, reader: Reader) -> Union[PeftLayers, str]:
    """The layers that peft changes; where this environment cannot say, why not."""
    try:
        import peft
        import transformers  # noqa: F401  both are needed, and either may be absent
    except ImportError as error:
        return "this environment has no %s" % error.name
    from ..stream import plan as stream_plan
    from ..stream.adapters import read_adapters
    from ..stream.layers import Merger
    from ..stream.skeleton import build

    body = StreamMergeRequest(
        base=request.base.folder,
        adapter=request.adapter.folder,
        out="",
        embedding=request.embedding,
        architecture=request.architecture,
        quantized=request.quantized,
    )
    try:
        base = WeightFolder(request.base.folder)
        skeleton = build(base, read_adapters(body), body)
        made = stream_plan.make(skeleton, base, body)
    except KnownError as error:
        return "peft %s: %s" % (peft.__version__, error.message)
    names = [output.name for one in made.operations for output in one.outputs]
    return PeftLayers(names, made.operations, skeleton, Merger(skeleton, reader, body))


def judge(
    found: PeftLayers, wanted: Dict[str, StoredTensor], base: Dict[str, StoredTensor], reader: Reader
) -> Dict[str, JudgedTensor]:
    """The verdict on each of the `wanted` tensors of the merged model (by their names in the base)."""
    verdicts: Dict[str, JudgedTensor] = {}
    for one in found.operations:
        here = {output.name: wanted[output.name] for output in one.outputs if output.name in wanted}
        if not here:
            continue
        try:
            made = found.merger.alone(functools.partial(found.merger.run_whole, one))
        except Exception as error:  # a layer that cannot be merged in this release
            why = "peft cannot merge it: %s" % " ".join(str(error).split())[:200]
            verdicts.update({name: JudgedTensor(name, "not-compared", True, why=why) for name in here})
            continue
        unequal = {}
        for name, stored in here.items():
            there = reader.whole(stored)
            start = reader.whole(base[name]) if name in base else None
            verdict = at_once(name, made[name], there, start)
            if verdict is None:
                unequal[name] = Pair(there, start)
            else:
                verdicts[name] = verdict
        if unequal:
            verdicts.update(_in_double(found, one, unequal))
    return _pooled(verdicts)


def _pooled(verdicts: Dict[str, JudgedTensor]) -> Dict[str, JudgedTensor]:
    """One scale for all tensors that rounding explains one by one: an error too small to see in any of them shows in
    their mean."""
    near = [one for one in verdicts.values() if one.state == "rounding" and one.factor is not None and one.error]
    weights = [(one.error or 1.0) ** -2 for one in near]
    if not near:
        return verdicts
    mean = sum((one.factor or 0.0) * weight for one, weight in zip(near, weights)) / sum(weights)  # noqa: B905
    error = sum(weights) ** -0.5
    if abs(mean - 1) <= 5 * error:
        return verdicts
    why = "the change was applied %.5g times (± %.1g over %d tensors)" % (mean, error, len(near))
    wrong = {one.tensor: one._replace(state="wrong", cause="wrong-scale", why=why, way=None) for one in near}
    return {**verdicts, **wrong}


class Pair(NamedTuple):
    there: torch.Tensor
    start: Optional[torch.Tensor]


def at_once(
    name: str, made: torch.Tensor, there: torch.Tensor, start: Optional[torch.Tensor]
) -> Optional[JudgedTensor]:
    """The verdict where shapes or bits decide."""
    if tuple(there.shape) != tuple(made.shape):
        why = "it is %s, and %s in peft's own merge" % (list(there.shape), list(made.shape))
        return JudgedTensor(name, "wrong", True, cause="other-shape", why=why)
    if not bool(there.isfinite().all()):
        return JudgedTensor(name, "wrong", True, cause="not-finite", why="it holds values that are not finite")
    as_base = start is not None and start.shape == there.shape and bool((start.to(there.dtype) == there).all())
    if bool((bits(made.to(there.dtype)) == bits(there)).all()):
        return JudgedTensor(name, "equal", True, "merged by peft", lost=as_base)
    if as_base:
        return JudgedTensor(name, "wrong", True, cause="not-applied", why="it is the base's, to the bit", factor=0.0)
    return None


def _in_double(found: PeftLayers, one: Operation, pairs: Dict[str, Pair]) -> Dict[str, JudgedTensor]:
    """Tensors that are not peft's own to the bit, against peft's layer in float64: each has to be what one of the ways
    of rounding makes of it. Kinds that compute in the weight's own precision may be off by what that allows, if the
    scale, measured over all elements, is right."""
    from ..stream.prove.recompute import Recomputer

    recomputer = Recomputer(found.skeleton, found.merger, {})
    try:
        exact, compute = found.merger.alone(lambda: recomputer.in_double(one))
    except (RuntimeError, NotImplementedError, ValueError) as error:
        why = "peft's layer does not run in float64: %s" % " ".join(str(error).split())[:200]
        return {name: JudgedTensor(name, "not-compared", True, why=why) for name in pairs}
    dtypes = [slot.parameter.dtype for slot in one.slots if slot.source == "adapter"]
    adapter = min(dtypes, key=lambda dtype: dtype.itemsize if hasattr(dtype, "itemsize") else 4) if dtypes else compute
    strict = one.kind in _ADDED and not is_low(adapter)
    return {name: in_double(name, pair, exact[name], adapter, compute, strict=strict) for name, pair in pairs.items()}


def in_double(
    name: str, pair: Pair, exact: torch.Tensor, adapter: Optional[torch.dtype], compute: torch.dtype, *, strict: bool
) -> JudgedTensor:
    """A tensor against what peft makes of it in float64. `adapter` is the dtype of the factors, `compute` the one that
    the kind computes in, `strict` whether only the ways of rounding count."""
    way = way_of(pair, exact, adapter or compute)
    if way is not None:
        return JudgedTensor(name, "rounding", True, "merged by peft in float64, " + way.words)
    return _measured(name, pair, exact, compute, strict)


def way_of(pair: Pair, exact: torch.Tensor, adapter: torch.dtype) -> Optional[Way]:
    """The way of rounding that explains every element."""
    return next((way for way, share in shares(pair, exact, adapter) if share == 1), None)


def shares(pair: Pair, exact: torch.Tensor, adapter: torch.dtype) -> Iterator[Tuple[Way, float]]:
    """The ways of rounding, each with the share of the elements that it explains."""
    if pair.start is None or pair.start.shape != pair.there.shape:
        return
    start = pair.start.double()
    noise = _TERMS * 2.0**-24 * (exact.abs() + (exact - start).abs().max())
    block = Block(start, start, exact - start, noise)
    there = pair.there
    for way in ways(Dtypes(pair.start.dtype, there.dtype, there.dtype, adapter), "low-rank"):
        if way.cause is None and way.factors is None and way.start is None:
            yield way, float(way.explains(block, 1.0, there).double().mean())


def _measured(name: str, pair: Pair, exact: torch.Tensor, compute: torch.dtype, strict: bool) -> JudgedTensor:
    import torch

    there = pair.there
    wide = there.double()
    size = exact.abs() + (exact.abs().max() if exact.numel() else 0)
    low = torch.finfo(compute).eps if torch.finfo(compute).eps > 2.0**-22 else 0.0
    allowed = 0.5 * ulp(larger(exact, wide), there.dtype) + (_TERMS * 2.0**-24 + 3 * low) * size
    off = strict or bool(((wide - exact).abs() > allowed).any())
    if pair.start is None or pair.start.shape != there.shape:
        off = bool(((wide - exact).abs() > allowed).any())
        state = "wrong" if off else "rounding"
        return JudgedTensor(name, state, True, "merged by peft in float64", "other-change" if off else None)
    delta, moved = exact - pair.start.double(), wide - pair.start.double()
    square = float(delta.pow(2).sum())
    factor = float((delta * moved).sum()) / square if square else 1.0
    left = float((moved - factor * delta).pow(2).sum())
    rounding = float((ulp(larger(exact, wide), there.dtype).pow(2) / 6 + ((3 * low + 2.0**-22) * exact).pow(2)).sum())
    error = (max(left, rounding) / moved.numel() / square) ** 0.5 if square else 0.0
    told = JudgedTensor(name, "wrong", True, factor=factor, error=error)
    if left <= _SLACK * rounding and abs(factor - 1) > 5 * error:
        near = next((cause for value, cause in _NAMED.items() if abs(factor - value) < 5 * error + 0.01), "wrong-scale")
        return told._replace(cause=near, why="the change was applied %.5g times" % factor)
    if off:
        return told._replace(cause="other-change", why="it is not what peft's layer makes in float64")
    return JudgedTensor(name, "rounding", True, "merged by peft in float64", factor=factor, error=error)
