"""An adapter's names and shapes held against those of a base. Pure, and each part of it is computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from envpin.diagnose.adapter_names import has_own_experts
from envpin.diagnose.axes import holds_vocabulary, shape_text

if TYPE_CHECKING:
    from envpin.diagnose.adapter_names import AdapterNames, Factor
    from envpin.diagnose.expected import ExpectedShapes


@dataclass(frozen=True, kw_only=True, slots=True)
class Mismatch:
    """One tensor that will not fit: its shape in the checkpoint, the shape that the base asks for, and why."""

    parameter: str
    found: tuple[int, ...]
    expected: tuple[int, ...]
    why: str


class Comparison:
    """`Comparison(names, expected)`: which modules the base lacks, and which factors have another width than its own.

    The search for a base asks whether it fits, and the findings say in what it does not: both ask the same one.
    """

    def __init__(self, names: AdapterNames, expected: ExpectedShapes) -> None:
        self.names = names
        self.expected = expected

    @cached_property
    def modules(self) -> list[str]:
        """The modules that the adapter changes, without experts in layouts that no release has."""
        return [module for module in self.names.modules if not (module in self._absent and has_own_experts(module))]

    @cached_property
    def homeless(self) -> list[str]:
        """Those of `modules` that are not in the base."""
        return [module for module in self.modules if module in self._absent]

    @cached_property
    def widths(self) -> tuple[list[Mismatch], list[Mismatch]]:
        """Factors of another width than the base's modules, and those whose in and out are swapped."""
        wrong: list[Mismatch] = []
        swapped: list[Mismatch] = []
        for factor in self.names.factors:
            base = self.expected.shape_of(f"{factor.module}.weight")
            wanted = None if base is None else _fitting(factor, base)
            if base is None or wanted is None or wanted == factor.tensor.shape:
                continue
            turned = _fitting(factor, base[::-1]) == factor.tensor.shape and base[0] != base[1]
            why = (
                "in and out are swapped"
                if turned
                else f"{'input' if factor.kind.endswith('_A') else 'output'} of the module: {shape_text(base)}"
            )
            found = Mismatch(parameter=factor.tensor.name, found=factor.tensor.shape, expected=wanted, why=why)
            (swapped if turned else wrong).append(found)
        return wrong, swapped

    @cached_property
    def _absent(self) -> frozenset[str]:
        return frozenset(module for module in self.names.modules if self.expected.module_name(module) is None)


def _fitting(factor: Factor, base: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of this factor on a module of shape `base`, at its own rank; None where that is not known."""
    shape = factor.tensor.shape
    if len(base) != 2 or factor.leaf == "bias" or 0 in shape or not shape:
        return None
    out, into = base
    kind = (factor.kind, len(shape))
    if kind == ("lora_A", 2):
        return shape[0], into
    if kind == ("lora_embedding_B", 2):
        return into, shape[-1]
    if holds_vocabulary(factor.module):
        return None
    if kind == ("lora_B", 2):
        return out, shape[-1]
    return {("lora_magnitude_vector", 1): (out,), ("lora_magnitude_vector", 2): (1, out)}.get(kind)
