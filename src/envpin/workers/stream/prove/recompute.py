"""Changed tensors recomputed in float64 from the files alone, and held against what the disk now has.

For plain LoRA, embeddings and DoRA the formula is written out here, sharing no code with peft. The other kinds are run
through peft's own layer again in float64: that does not judge peft's mathematics, but it catches a wrong tensor, a
wrong place, a lost rounding and a bad write. What is taken whole from the adapter has to be equal to the bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Dict, List, Tuple

from ...protocol import KnownError
from ...runtime.bits import equal_bits, ulp
from ..io.files import Segment, StoredTensor
from ..io.reader import Reader
from ..io.write import TensorCheck
from ..layers import Merger, merge_unit, put_in_place
from ..operations import Operation, Output, Slot, active_adapter, final_module
from ..skeleton import Skeleton

if TYPE_CHECKING:
    import torch

_ROWS = 16


class Recomputer:
    """Checks operations against written files. `located` maps an output's name to where it was written."""

    def __init__(self, skeleton: Skeleton, merger: Merger, located: Dict[str, StoredTensor]) -> None:
        self._skeleton = skeleton
        self._merger = merger
        self._located = located

    def foresee(self, one: Operation, reader: Reader) -> None:
        """Ask for the written rows that `check` is going to read: one after the other, each waits for the disk."""
        if one.sides or (one.kind == "dora" and self._is_plain_dora(one)):
            written = self._located.get(one.outputs[0].name)
            if written is not None:
                reader.foresee(written, sample(written.shape[0]))

    def check(self, one: Operation, reader: Reader) -> List[TensorCheck]:
        """One result per written tensor: rows checked, the largest error in units of what rounding allows.

        Raises:
            KnownError: `verification-failed`, naming the tensor and the error.
        """
        here = [output for output in one.outputs if output.name in self._located]
        if one.kind in {"replace", "modules_to_save"}:
            return self._merger.alone(lambda: [self._check_taken(one, output, reader) for output in here])
        if one.kind == "dora" and self._is_plain_dora(one):
            return [self._check_dora(one, one.outputs[0], reader)]
        if one.sides:
            return [self._check_product(one, one.outputs[0], reader)]
        return self._merger.alone(lambda: self._check_by_layer(one, here, reader))

    # taken whole -----------------------------------------------------------------------------------------------------

    def _check_taken(self, one: Operation, output: Output, reader: Reader) -> TensorCheck:
        slot = one.slots[0] if one.unit is None else self._slot_of(one, output)
        wanted = self._merger.fill(slot)
        found = reader.whole(self._located[output.name])
        if not equal_bits(wanted.to(found.dtype), found):
            raise _failed(output.name, "is not the tensor that the adapter brings")
        return _result(output, int(found.shape[0]) if found.dim() else 1, 0.0, True)

    @staticmethod
    def _slot_of(one: Operation, output: Output) -> Slot:
        parameter = dict(final_module(one.unit).named_parameters())[output.path]
        return next(slot for slot in one.slots if slot.parameter is parameter)

    # W + s·B·A -------------------------------------------------------------------------------------------------------

    def _check_product(self, one: Operation, output: Output, reader: Reader) -> TensorCheck:
        import torch

        weight = one.sides[0]
        stored = self._stored(weight)
        written = self._located[output.name]
        rows = sample(written.shape[0])
        dtype = self._merger.base_dtype(stored, weight)
        exact = reader.some_rows(stored, rows).to(dtype).double()
        found = reader.some_rows(written, rows)
        allowed = torch.zeros((), dtype=torch.float64)
        for name, (side_a, side_b) in zip(one.adapters, one.pairs):  # noqa: B905 (Python 3.8 has no strict=)
            a, b = self._merger.fill(side_a), self._merger.fill(side_b)
            scale = float(one.unit.scaling[name])
            left, right = (b[rows], a) if one.mode == "rows" else (a[:, rows].T, b.T)
            left, right = left.double() * scale, right.double()
            size = torch.addmm(exact.abs(), left.abs(), right.abs())
            delta = left @ right
            exact += delta
            # Each adapter is rounded once: what the sum so far is off by may lift it into the next binade.
            reached = exact.abs() + allowed
            allowed = allowed + bound(reached, found.dtype, side_a.parameter.dtype, delta, size, terms=a.shape[0])
            if one.kind == "lora-embedding":  # recent peft rounds the delta to the base's dtype before it adds it
                allowed = allowed + 0.5 * ulp(delta, found.dtype)
        return self._judge(output, found, exact, allowed, len(rows))

    def _stored(self, slot: Slot) -> StoredTensor:
        return self._skeleton.find(slot.name)

    @staticmethod
    def _is_plain_dora(one: Operation) -> bool:
        kinds = sorted((slot.source, slot.parameter.dim()) for slot in one.slots)
        return kinds == [("adapter", 1), ("adapter", 2), ("adapter", 2), ("base", 2)] and not getattr(
            one.unit, "fan_in_fan_out", False
        )

    def _check_dora(self, one: Operation, output: Output, reader: Reader) -> TensorCheck:
        """m · (W + s·B·A) / ‖W + s·B·A‖ per row (Liu et al., 2024, equation 5)."""
        adapter = active_adapter(one.unit)
        by_parameter = {id(slot.parameter): slot for slot in one.slots}
        a = self._merger.fill(by_parameter[id(one.unit.lora_A[adapter].weight)]).double()
        b = self._merger.fill(by_parameter[id(one.unit.lora_B[adapter].weight)]).double()
        magnitude = self._merger.fill(
            next(s for s in one.slots if s.source == "adapter" and s.parameter.dim() == 1)
        ).double()
        weight = next(slot for slot in one.slots if slot.source == "base")
        stored, written = self._stored(weight), self._located[output.name]
        rows = sample(written.shape[0])
        base = reader.some_rows(stored, rows)
        base = base.to(self._merger.base_dtype(stored, weight)).double()
        delta = float(one.unit.scaling[adapter]) * (b[rows] @ a)
        factor = (magnitude[rows] / (base + delta).norm(dim=1))[:, None]
        exact = factor * (base + delta)
        size = factor.abs() * (base.abs() + delta.abs())  # what cancels in the sum still carries its rounding
        found = reader.some_rows(written, rows)
        compute = self._compute_dtype(one)
        allowed = bound(exact, found.dtype, compute, 2 * size, 16 * size, terms=a.shape[0])
        return self._judge(output, found, exact, allowed, len(rows))

    # peft's layer in float64 -----------------------------------------------------------------------------------------

    def _check_by_layer(self, one: Operation, outputs: List[Output], reader: Reader) -> List[TensorCheck]:
        exact = self._run_in_double(one)
        compute = self._compute_dtype(one)
        results = []
        for output in outputs:
            found = reader.whole(self._located[output.name])
            wanted = exact[output.name]
            size = wanted.abs().max() if wanted.numel() else wanted
            allowed = bound(wanted, found.dtype, compute, wanted.abs() + 4 * size, 16 * size, terms=64)
            rows = int(found.shape[0]) if found.dim() else 1
            results.append(self._judge(output, found, wanted, allowed, rows))
        return results

    def in_double(self, one: Operation) -> Tuple[Dict[str, torch.Tensor], torch.dtype]:
        """What peft's layer makes of an operation in float64, and the least precise dtype that takes part in it."""
        return self._run_in_double(one), self._compute_dtype(one)

    def _run_in_double(self, one: Operation) -> Dict[str, torch.Tensor]:
        with put_in_place(one) as put:
            for slot in one.slots:
                put(slot, self._merger.fill(slot).double())
            merged = self._merger.collect(one, merge_unit(one.unit))
            return {name: tensor.double() for name, tensor in merged.items()}

    @staticmethod
    def _compute_dtype(one: Operation) -> torch.dtype:
        """The least precise dtype that takes part in the delta."""
        import torch

        dtypes = [slot.parameter.dtype for slot in one.slots if slot.source == "adapter"]
        if one.kind not in {"lora", "lora-embedding"}:
            dtypes += [slot.parameter.dtype for slot in one.slots if slot.source == "base"]  # some kinds compute in it
        floating = [dtype for dtype in dtypes if dtype.is_floating_point]
        return max(floating, key=lambda dtype: torch.finfo(dtype).eps) if floating else torch.float32

    @staticmethod
    def _judge(
        output: Output, found: torch.Tensor, exact: torch.Tensor, allowed: torch.Tensor, rows: int
    ) -> TensorCheck:
        error = found.double().sub_(exact).abs_().div_(allowed)
        worst = float(error.max()) if error.numel() else 0.0
        if not worst <= 1.0:  # a NaN is no answer either
            raise _failed(
                output.name, "differs from its float64 recomputation by %.3g times what rounding allows" % worst
            )
        return _result(output, rows, worst, False)


def bound(
    exact: torch.Tensor,
    stored: torch.dtype,
    compute: torch.dtype,
    delta: torch.Tensor,
    size: torch.Tensor,
    *,
    terms: int,
) -> torch.Tensor:
    """How far a right result may lie from `exact`: half a unit in the last place of the stored dtype, the rounding of
    the delta itself where it was made in a low precision, and the bound of an fp32 sum of `terms` products over `size`
    (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1)."""
    import torch

    allowed = ulp(exact, stored).mul_(0.5).add_(size, alpha=(terms + 3) * 2.0**-24)
    if torch.finfo(compute).eps > 2.0**-22:
        allowed.add_(delta.abs(), alpha=1.5 * torch.finfo(compute).eps)
    return allowed.clamp_min_(torch.finfo(torch.float64).tiny)


def sample(count: int) -> List[int]:
    """The first, the last and evenly spread rows, so that every run of blocks is met."""
    step = max(1, math.ceil(count / _ROWS))
    return sorted({0, count - 1, *range(0, count, step)})


def _result(output: Output, rows: int, worst: float, exact: bool) -> TensorCheck:
    return TensorCheck(output.name, rows, worst, exact)


def _failed(tensor: str, what: str) -> KnownError:
    return KnownError("verification-failed", "`%s` %s" % (tensor, what), tensor=tensor)


def locate(segment: Segment, path: str) -> StoredTensor:
    return StoredTensor(segment.name, segment.dtype, segment.shape, path, segment.offset, segment.size)
