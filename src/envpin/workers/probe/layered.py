"""Asks a model from its files, one layer in memory at a time: how a model of any size answers in the memory of a layer.

The model is the pinned transformers' own, built without weights (`stream/skeleton.py`). Before a layer runs, its
parameters are read from the files and widened to float32; afterwards they go. Three models are asked so, one after the
other: the base, the base with peft's layers on it, and the merged model. Only rows of an embedding that the question
names are read, and the head runs in blocks of rows.

All three are computed in float32: what is left between them is what was rounded into the merged *weights*, whatever the
dtype of the files, and a CPU without bf16 units takes no detour.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from ..stream.adapters import TAG, THROUGH
from ..stream.layers import Merger
from ..stream.operations import Slot, is_unit
from .norms import norms_by_rows

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter
    from torch.utils.hooks import RemovableHandle

    from ..requests import StreamMergeRequest
    from ..stream.io.files import StoredTensor
    from ..stream.io.reader import Reader
    from ..stream.skeleton import Skeleton

# A head is multiplied in blocks of this many weights (64 MB in float32): a vocabulary of 150,000 would otherwise be the
# largest layer by far.
_HEAD_BLOCK = 1 << 24
# A linear layer of more weights than this (64 MB in float32) is filled for itself, not with the layer it lies in: of a
# model of 8 billion a whole layer takes 0.9 GB, and of Mixtral 5.6.
APART = 1 << 24
# Dtypes that are widened into memory of ours as soon as they are read.
_HALVES = ("BF16", "F16")


class CannotAskError(Exception):
    """This architecture cannot be taken apart so: a parameter has no file, or is used outside its module."""


class Layer(NamedTuple):
    """A module that is filled as one: `deep` where everything below it is filled with it (but large layers that are
    filled `apart`), `listed` where it is an entry of a list of layers or lies in one."""

    module: Module
    deep: bool
    listed: bool


class Lent(NamedTuple):
    """One parameter of a module while it is filled: where it sits, the empty one that belongs there, and the memory
    that it borrows from the pool."""

    owner: Module
    attribute: str
    empty: Parameter
    memory: Optional[Tensor]


class Pool:
    """float32 memory that one layer leaves to the next, which mostly has the same shapes: fresh pages cost more than
    the reading does. It never holds more than was in use at once."""

    def __init__(self) -> None:
        self._free: Dict[int, List[Tensor]] = {}

    def take(self, count: int) -> Tensor:
        import torch

        kept = self._free.get(count)
        return kept.pop() if kept else torch.empty(count, dtype=torch.float32)

    def give(self, memory: Tensor) -> None:
        self._free.setdefault(memory.numel(), []).append(memory)


class ParameterSource:
    """Where the parameters of a skeleton come from, by the tags that they carry. Has the model count as float32."""

    def __init__(self, skeleton: Skeleton, reader: Reader, request: StreamMergeRequest) -> None:
        self._skeleton = skeleton
        self._reader = reader
        self._merger = Merger(skeleton, reader, request)
        # How a tensor is rounded on its way is decided by the dtype that the library itself would hold it in.
        self._held = {id(one): _held(one) for one in skeleton.inner.parameters()}
        for one in [*skeleton.inner.parameters(), *skeleton.inner.buffers()]:
            if one.is_floating_point():
                one.data = one.data.float()
        self._fill_buffers()

    def _fill_buffers(self) -> None:
        for name, buffer in self._skeleton.inner.named_buffers():
            stored = self._skeleton.names.get(name.replace(".base_layer.", ".").replace(".original_module.", "."))
            if stored is not None and buffer.device.type != "meta":
                buffer.copy_(self._reader.whole(stored))

    def read(self, owner: Module, attribute: str, parameter: Parameter) -> Tensor:
        """The whole tensor, in the dtype that the library would hold it in."""
        source, name = getattr(parameter, TAG, ("none", ""))
        held = self._plain(source, name)
        if held is not None and held.dtype in _HALVES and held.shape == tuple(parameter.shape):
            return self._reader.mapped(held).to(self._held[id(parameter)].dtype)
        known = source == "adapter" or name in self._skeleton.fused or self._skeleton.stored(name) is not None
        if source == "none" or not known:
            raise CannotAskError("no file holds `%s`" % (name or attribute))
        found = self._merger.fill(Slot(owner, attribute, self._held[id(parameter)], source, name))
        if found.shape != parameter.shape:
            raise CannotAskError("`%s` has %d rows of %d" % (name, found.shape[0], parameter.shape[0]))
        return found

    def rows(self, parameter: Parameter, first: int, last: int) -> Optional[Tensor]:
        """Rows [first, last) in the dtype that the library would hold them in; None where a file does not hold all rows
        of this parameter as they are."""
        source, name = getattr(parameter, TAG, ("none", ""))
        held = self._skeleton.adapter.get(name) if source == "adapter" else self._plain(source, name)
        if held is None or held.decoder is not None or held.shape != tuple(parameter.shape):
            return None
        dtype = self._held[id(parameter)].dtype
        if held.dtype in _HALVES and last - first > 1:
            return self._reader.mapped(held, first, last).to(dtype)
        return self._reader.rows(held, first, last).to(dtype)

    def _plain(self, source: str, name: str) -> Optional[StoredTensor]:
        """The stored tensor that a parameter of the base is, if one is."""
        if source != "base" or name in self._skeleton.fused:
            return None
        held = self._skeleton.stored(name)
        return held if held is not None and held.decoder is None else None

    def close(self) -> None:
        self._merger.close()


def _held(parameter: Parameter) -> Parameter:
    import torch

    twin = torch.nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
    if hasattr(parameter, THROUGH):
        setattr(twin, THROUGH, getattr(parameter, THROUGH))
    return twin


class Layers:
    """The hooks that fill each layer before it runs and empty it afterwards. With `apart`, large linear layers are
    filled only while they run, for models that call them as modules. With `resident`, what lies outside the lists of
    layers is filled all the while, for models that use a table without calling its module."""

    def __init__(self, model: Module, source: ParameterSource, pool: Pool, *, apart: bool, resident: bool) -> None:
        import torch

        self._source = source
        self._pool = pool
        self._lent: Dict[int, List[Lent]] = {}
        self._handles: List[RemovableHandle] = []
        self._replaced: List[Module] = []
        found = list(layers_of(model, apart=apart))
        self._apart = {id(one.module) for one in found if one.listed}
        for one in found:
            if resident and not one.listed:
                self._fill(one)
            # Plain tables and heads are never held whole.
            elif type(one.module) is torch.nn.Embedding and one.module.max_norm is None:
                self._replace(one.module, self._lookup)
            elif type(one.module) is torch.nn.Linear and one.module.weight.numel() > _HEAD_BLOCK:
                self._replace(one.module, self._product)
            else:
                self._watch(one)

    def _replace(self, module: Module, forward: Callable[[Module, Tensor], Tensor]) -> None:
        module.forward = lambda *given, **named: forward(module, *given, **named)
        self._replaced.append(module)

    def _watch(self, one: Layer) -> None:
        self._handles.append(one.module.register_forward_pre_hook(lambda _module, _given: self._fill(one)))
        self._handles.append(
            one.module.register_forward_hook(lambda module, _given, _output: self._give_back(id(module)))
        )

    def close(self) -> None:
        for number in list(self._lent):
            self._give_back(number)
        for handle in self._handles:
            handle.remove()
        for module in self._replaced:
            del module.forward

    def _lookup(self, module: Module, ids: Tensor) -> Tensor:
        import torch

        distinct, places = ids.unique(return_inverse=True)
        rows = [self._source.rows(module.weight, int(one), int(one) + 1) for one in distinct]
        if any(row is None for row in rows):
            found = self._source.read(module, "weight", module.weight)[distinct]
        else:
            found = torch.cat([row for row in rows if row is not None])
        return found.float()[places]

    def _product(self, module: Module, x: Tensor) -> Tensor:
        import torch

        count, width = module.weight.shape
        step, pieces, whole = max(1, _HEAD_BLOCK // width), [], None
        for first in range(0, count, step):
            last = min(count, first + step)
            block = self._source.rows(module.weight, first, last)
            if block is None:
                whole = self._source.read(module, "weight", module.weight) if whole is None else whole
                block = whole[first:last]
            memory = self._pool.take(step * width)
            pieces.append(torch.nn.functional.linear(x, memory[: block.numel()].view(block.shape).copy_(block)))
            self._pool.give(memory)
        found = torch.cat(pieces, dim=-1)
        return found if module.bias is None else found + self._source.read(module, "bias", module.bias).float()

    def _fill(self, one: Layer) -> None:
        import torch

        if self._lent.get(id(one.module)):
            return  # it calls itself
        lent = self._lent.setdefault(id(one.module), [])
        for owner, attribute, parameter in list(_empty_parameters(one.module, one.deep, self._apart)):
            value, memory = self._source.read(owner, attribute, parameter), None
            if value.is_floating_point() and value.dtype != torch.float32:
                memory = self._pool.take(value.numel())
                value = memory.view(value.shape).copy_(value)
            setattr(owner, attribute, torch.nn.Parameter(value, requires_grad=False))
            lent.append(Lent(owner, attribute, parameter, memory))

    def _give_back(self, number: int) -> None:
        for one in self._lent.pop(number, []):
            setattr(one.owner, one.attribute, one.empty)
            if one.memory is not None:
                self._pool.give(one.memory)


def layers_of(model: Module, *, apart: bool) -> Iterator[Layer]:
    """Each entry of a list of layers and each unit of peft's as a whole; outside of those, whatever owns parameters.
    With `apart`, large linear layers within an entry for themselves."""
    import torch

    seen: Set[int] = set()

    def walk(module: Module) -> Iterator[Layer]:
        if id(module) in seen:
            return
        seen.add(id(module))
        # A module that peft trained whole is called like any other; the original behind it is not.
        trained = getattr(module, "modules_to_save", None)
        if trained is not None and hasattr(module, "original_module"):
            for one in trained.children():
                for found in walk(one):
                    yield found
            return
        whole = is_unit(module) or isinstance(module, torch.nn.MultiheadAttention)
        if whole or next(module.parameters(recurse=False), None) is not None:
            yield Layer(module, deep=whole, listed=False)
        for child in [] if whole else module.children():
            if isinstance(child, torch.nn.ModuleList):
                for entry in child:
                    yield Layer(entry, deep=True, listed=True)
                    for large in _large_within(entry) if apart else []:
                        yield Layer(large, deep=True, listed=True)
            else:
                for found in walk(child):
                    yield found

    return walk(model)


def _large_within(module: Module) -> Iterator[Module]:
    import torch

    for child in module.children():
        if is_unit(child) or type(child) is torch.nn.Linear:
            if sum(one.numel() for one in child.parameters()) > APART:
                yield child
        else:
            for found in _large_within(child):
                yield found


def _empty_parameters(module: Module, deep: bool, apart: Set[int]) -> Iterator[Tuple[Module, str, Parameter]]:
    """Those of a module, and with `deep` of all below it but what is filled `apart`."""
    for attribute, parameter in list(module.named_parameters(recurse=False)):
        if parameter.device.type == "meta":
            yield module, attribute, parameter
    for name, child in module.named_children() if deep else []:
        if name != "original_module" and id(child) not in apart:
            for found in _empty_parameters(child, deep, apart):
                yield found


@contextlib.contextmanager
def filled(
    skeleton: Skeleton, reader: Reader, request: StreamMergeRequest, pool: Pool, *, apart: bool, resident: bool
) -> Iterator[Module]:
    """Within, the skeleton's model can be called as if it held its weights. `apart` and `resident` as `Layers` has
    them."""
    source = ParameterSource(skeleton, reader, request)
    layers = Layers(skeleton.inner, source, pool, apart=apart, resident=resident)
    try:
        with norms_by_rows(skeleton.inner):
            yield skeleton.inner
    finally:
        layers.close()
        source.close()
