"""Running one operation: real tensors into peft's own layer, its own merge, the result out.

A linear layer's delta is a product whose rows do not depend on each other, so it is merged in blocks of rows that fit a
cache, where peft's code gives the same bits on a block as on the whole weight (`calibration.py`).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Optional, Tuple, TypeVar

from ..requests import StreamMergeRequest
from ..runtime.device import own_stream, place
from ..runtime.several import plain_name
from .adapters import THROUGH
from .blocks import columns_of, row_blocks
from .calibration import Blockwise, Calibration
from .io.files import StoredTensor, torch_dtype
from .io.reader import Reader
from .layout import wanted_dtype
from .operations import Operation, Slot, active_adapter, final_module
from .product import Factors, add_products
from .skeleton import Skeleton

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Sink = Callable[[str, int, "torch.Tensor"], None]  # output name, element offset, contiguous tensor
Block = Tuple[Tuple[int, int], "torch.Tensor"]  # a run of rows and what it holds


class Merger:
    """Runs operations for one merge. Threads may run different operations at once; those that need a whole weight in
    memory take turns (`alone`), so that memory is bounded by one of them."""

    def __init__(self, skeleton: Skeleton, reader: Reader, request: StreamMergeRequest, *, device: str = "cpu") -> None:
        self._skeleton = skeleton
        self._reader = reader
        self._request = request
        self.device = device
        self._alone = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        self.calibration = Calibration(self)

    def run(self, one: Operation, sink: Sink) -> None:
        if one.mode == "replace":
            self.alone(lambda: sink(one.outputs[0].name, 0, self.fill(one.slots[0])))
            return
        cut = one.mode in ("rows", "columns") and not self._only_whole(one)
        way = self.calibration.way(one) if cut else None
        if way is None:
            self.alone(lambda: self._write_whole(one, sink))
        else:
            self._run_blocks(one, sink, way)

    def _write_whole(self, one: Operation, sink: Sink) -> None:
        for name, tensor in self.run_whole(one).items():
            sink(name, 0, tensor)

    def alone(self, work: Callable[[], T]) -> T:
        """Do what holds whole weights: one such piece of work at a time, in a thread that computes with as many threads
        as peft's own merge would. Not to be called from within."""

        def guarded() -> T:
            import torch

            with torch.no_grad(), own_stream(self.device):
                return work()

        return self._alone.submit(guarded).result()

    def use_threads(self, count: int) -> None:
        """How many threads `alone` computes with; the others compute with one."""
        import torch

        def take() -> int:
            torch.set_num_threads(count)
            return int(torch.get_num_threads())  # a thread keeps the number that it has once asked for

        self._alone.submit(take).result()
        torch.set_num_threads(1)

    def close(self) -> None:
        self._alone.shutdown()

    def _only_whole(self, one: Operation) -> bool:
        decoder = self._skeleton.find(one.sides[0].name).decoder
        return decoder is not None and bool(decoder.whole_only)

    def fill(self, slot: Slot) -> torch.Tensor:
        """The real tensor of a slot, in the dtype that peft's parameter has."""
        if slot.source == "adapter":
            return self._adapter_tensor(slot)
        fused = self._skeleton.fused.get(slot.name)
        if fused is not None:
            parts = {one.name: self._reader.whole(one).to(self.base_dtype(one, slot)) for _, one in fused.sources}
            return fused.join(parts)
        stored = self._skeleton.find(slot.name)
        return self._reader.whole(stored).to(self.base_dtype(stored, slot))

    def base_dtype(self, stored: StoredTensor, slot: Slot) -> torch.dtype:
        if self._request.dtype not in ("keep", "peft"):
            return torch_dtype(wanted_dtype(stored.dtype, self._request))
        return slot.parameter.dtype

    def _adapter_tensor(self, slot: Slot) -> torch.Tensor:
        stored = self._skeleton.adapter[slot.name]
        dtype = slot.parameter.dtype
        if ".base_layer." in slot.name:  # the base's own table, which a saved embedding brings along
            dtype = self.base_dtype(stored, slot)
        tensor = self._reader.whole(stored)
        tensor = tensor.to(getattr(slot.parameter, THROUGH, tensor.dtype)).to(dtype)
        if tuple(tensor.shape) == tuple(slot.parameter.shape):
            return tensor
        return self._overlaid(slot, tensor)

    def _overlaid(self, slot: Slot, tensor: torch.Tensor) -> torch.Tensor:
        """A shorter table laid over a longer one: the rest is the base's where the tensor is a table, and no change
        where it is one side of a delta."""
        import torch

        full = torch.zeros(tuple(slot.parameter.shape), dtype=tensor.dtype)
        axis = next(axis for axis in range(tensor.dim()) if tensor.shape[axis] != full.shape[axis])
        stored = self._table_of(slot)
        if stored is not None:
            full.copy_(self._reader.whole(stored))
        full.narrow(axis, 0, tensor.shape[axis]).copy_(tensor)
        return full

    def _table_of(self, slot: Slot) -> Optional[StoredTensor]:
        """The base table that an adapter's whole table stands for, by its name in the adapter file."""
        name = plain_name(slot.name)
        key = name[len("base_model.model.") :] if name.startswith("base_model.model.") else name
        return self._skeleton.stored(key.replace(".base_layer.", ".").replace(".modules_to_save.", "."))

    def run_whole(
        self, one: Operation, weight: Optional[torch.Tensor] = None, only: Optional[List[str]] = None
    ) -> Dict[str, torch.Tensor]:
        """Merge a unit on whole tensors (or, to calibrate, into `weight` in place of the first rows of its own, and
        `only` some of its adapters)."""
        with put_in_place(one) as put:
            for slot in one.slots:
                put(
                    slot, place(self.fill(slot) if weight is None else self._first_rows(one, slot, weight), self.device)
                )
            return self.collect(one, merge_unit(one.unit, only))

    def collect(self, one: Operation, final: torch.nn.Module) -> Dict[str, torch.Tensor]:
        """The tensors that an operation writes, by name, from the merged module."""
        parameters = dict(final.named_parameters())
        found: Dict[str, torch.Tensor] = {}
        for output in one.outputs:
            if output.name in found:
                continue
            fused = self._skeleton.fused.get(output.key)
            value = parameters[output.path].data
            found.update({output.name: value} if fused is None else fused.split(value))
        return found

    def _first_rows(self, one: Operation, slot: Slot, weight: torch.Tensor) -> torch.Tensor:
        if slot is one.sides[0]:
            return weight
        tensor, rows = self.fill(slot), weight.shape[0]
        if slot in one.magnitudes:
            return tensor[:rows].clone()
        for first, second in one.pairs:
            if slot is second and one.mode == "rows":
                return tensor[:rows].clone()
            if slot is first and one.mode == "columns":
                return tensor[:, :rows].clone()
        return tensor

    def _run_blocks(self, one: Operation, sink: Sink, way: Blockwise) -> None:
        name = one.outputs[0].name
        for first, block in self.blocks(one, way):
            sink(name, first, block)

    def blocks(
        self, one: Operation, way: Blockwise, weights: Optional[torch.Tensor] = None, only: Optional[List[str]] = None
    ) -> Iterator[Tuple[int, torch.Tensor]]:
        """Merged row blocks of a linear or embedding weight as (element offset, tensor), each made in runs of columns;
        of `weights`, if given, in place of the stored weight's first rows, and with `only` some of its adapters."""
        width = self._skeleton.find(one.sides[0].name).shape[1]
        merged = self._by_product if way.direct else self._by_layer
        for run, block in merged(one, way.parts, weights, only):
            yield run[0] * width, block

    def _by_product(
        self, one: Operation, parts: int, weights: Optional[torch.Tensor], only: Optional[List[str]]
    ) -> Iterator[Block]:
        adapters = [
            Factors.of(self.fill(first), self.fill(second), one.unit.scaling[name], parts)
            for name, (first, second) in zip(one.adapters, one.pairs)  # noqa: B905 (Python 3.8 has no strict=)
            if only is None or name in only
        ]
        for run, block in self._stored_blocks(one, weights):
            add_products(block, run, adapters)
            yield run, block

    def _stored_blocks(self, one: Operation, weights: Optional[torch.Tensor]) -> Iterator[Block]:
        """The weight itself in blocks of rows, to be written to."""
        stored = self._skeleton.find(one.sides[0].name)
        dtype = self.base_dtype(stored, one.sides[0])
        rows = stored.shape[0] if weights is None else weights.shape[0]
        for run in row_blocks(rows, stored.shape[1], self.device):
            block = weights[run[0] : run[1]].clone() if weights is not None else self._reader.rows(stored, *run)
            yield run, place(block, self.device).to(dtype if weights is None else block.dtype)

    def _by_layer(
        self, one: Operation, parts: int, weights: Optional[torch.Tensor], only: Optional[List[str]]
    ) -> Iterator[Block]:
        import torch

        weight = one.sides[0]
        by_rows = one.mode == "rows"
        kept = [(slot, getattr(slot.owner, slot.attribute)) for slot in (*one.sides, *one.magnitudes)]
        columns = columns_of(self._skeleton.find(weight.name).shape[1], parts)
        try:
            along = [(first if by_rows else second, int(by_rows)) for first, second in one.pairs]
            across = [(second if by_rows else first, int(not by_rows)) for first, second in one.pairs]
            across += [(slot, 0) for slot in one.magnitudes]
            fixed = self._sides(along)
            by_columns = [
                [(slot, frozen(place(cut_of(side, axis, run).contiguous(), self.device))) for slot, axis, side in fixed]
                for run in columns
            ]
            by_row = [(slot, axis, place(side, self.device)) for slot, axis, side in self._sides(across)]
            for run, block in self._stored_blocks(one, weights):
                pieces = []
                for slot, axis, side in by_row:
                    setattr(slot.owner, slot.attribute, frozen(cut_of(side, axis, run)))
                for part, (first, last) in zip(by_columns, columns):  # noqa: B905 (Python 3.8 has no strict=)
                    for slot, side in part:
                        setattr(slot.owner, slot.attribute, side)
                    setattr(weight.owner, weight.attribute, frozen(block[:, first:last].contiguous()))
                    merge_layer(one.unit, only)
                    forget_merge(one.unit)
                    pieces.append(getattr(weight.owner, weight.attribute).data)
                yield run, torch.cat(pieces, dim=1) if pieces[1:] else pieces[0]
        finally:
            for slot, parameter in kept:
                setattr(slot.owner, slot.attribute, parameter)
            forget_merge(one.unit)

    def _sides(self, slots: List[Tuple[Slot, int]]) -> List[Tuple[Slot, int, torch.Tensor]]:
        return [(slot, axis, self.fill(slot)) for slot, axis in slots]


def cut_of(side: torch.Tensor, axis: int, run: Tuple[int, int]) -> torch.Tensor:
    """What one factor of a product gives to a block: its rows (axis 0) or columns of a run."""
    return side.narrow(axis, run[0], run[1] - run[0])


def frozen(tensor: torch.Tensor) -> torch.nn.Parameter:
    import torch

    return torch.nn.Parameter(tensor, requires_grad=False)


@contextlib.contextmanager
def put_in_place(one: Operation) -> Iterator[Callable[[Slot, torch.Tensor], None]]:
    """Real tensors in the slots of a unit, for as long as it is merged. Afterwards all of it is as it was, whatever its
    merge made of it: LN tuning swaps two modules."""
    modules = list(one.unit.modules()) if one.unit is not None else [slot.owner for slot in one.slots]
    held = [part for module in modules for part in (module._parameters, module._modules, module._buffers)]  # noqa: SLF001
    kept = [(part, dict(part)) for part in held]

    def put(slot: Slot, tensor: torch.Tensor) -> None:
        setattr(slot.owner, slot.attribute, frozen(tensor))

    try:
        yield put
    finally:
        for part, before in kept:
            part.clear()
            part.update(before)
        if one.unit is not None:
            forget_merge(one.unit)


def merge_layer(unit: torch.nn.Module, only: Optional[List[str]] = None) -> None:
    if only is None:
        unit.merge(safe_merge=False)
    else:
        unit.merge(safe_merge=False, adapter_names=only)


def merge_unit(unit: torch.nn.Module, only: Optional[List[str]] = None) -> torch.nn.Module:
    """What `merge_and_unload()` does to one wrapped module; returns the module that takes its place."""
    if hasattr(unit, "unload_and_optionally_merge_module"):
        return unit.unload_and_optionally_merge_module(merge=True, safe_merge=False, adapter_names=None)
    if hasattr(unit, "modules_to_save"):
        module = unit.modules_to_save[active_adapter(unit)]
        if hasattr(module, "base_layer"):
            module.merge(safe_merge=False)
        return final_module(unit)
    if hasattr(unit, "original_module"):
        unit.token_adapter.merge(safe_merge=False)
        return unit.token_adapter.get_base_layer()
    merge_layer(unit, only)
    return unit.get_base_layer()


def forget_merge(unit: torch.nn.Module) -> None:
    """As if it had never been merged. DoRA keeps the norms of each layer to undo a merge with: small pieces that stay
    where a heap could shrink, so that memory grew with the model."""
    for module in unit.modules():
        if getattr(module, "merged_adapters", None):
            module.merged_adapters = []
        kept = getattr(module, "_caches", None)
        if isinstance(kept, dict):
            kept.clear()
