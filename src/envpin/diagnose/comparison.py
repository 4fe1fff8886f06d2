"""An adapter's names and shapes held against those of a base. Pure, and each part of it is computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from envpin.diagnose.adapter_names import has_own_experts
from envpin.diagnose.axes import holds_vocabulary, shape_text, side_of_triangle
from envpin.diagnose.own_lengths import KINDS, own_lengths

if TYPE_CHECKING:
    from envpin.diagnose.adapter_names import AdapterNames, Factor
    from envpin.diagnose.expected import ExpectedShapes

_PAIR = frozenset({"lora_A", "lora_B"})


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

    def __init__(
        self, names: AdapterNames, expected: ExpectedShapes, settings: Mapping[str, object] | None = None
    ) -> None:
        self.names = names
        self.expected = expected
        self._settings = settings or {}

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
        """Factors of another width than the base's modules, and those of modules whose in and out are swapped."""
        by_module: dict[str, list[Mismatch]] = {}
        turned: dict[str, set[str]] = {}
        for factor in (*self.names.factors, *self.names.other):
            base = self._shape_of(factor)
            wanted = None if base is None else self._fitting(factor, base)
            if base is None or wanted is None or wanted == factor.tensor.shape:
                continue
            if self._fitting(factor, base[::-1]) == factor.tensor.shape:
                turned.setdefault(factor.module, set()).add(factor.kind)
            side = "input" if (factor.kind, len(factor.tensor.shape)) in _BY_INPUT else "output"
            why = f"{'widths' if factor.kind in KINDS else side} of the module: {shape_text(base)}"
            found = Mismatch(parameter=factor.tensor.name, found=factor.tensor.shape, expected=wanted, why=why)
            by_module.setdefault(factor.module, []).append(found)
        wrong: list[Mismatch] = []
        swapped: list[Mismatch] = []
        for module, some in by_module.items():
            # one factor alone has the other side's width by chance: fewer heads of keys than of queries
            if turned.get(module, set()) >= _PAIR:
                swapped += [replace(one, why="in and out are swapped") for one in some]
            else:
                wrong += some
        return wrong, swapped

    @cached_property
    def tells(self) -> bool:
        """Whether anything was held against the base: a module that it lacks, or a tensor whose width it gives.

        Spectra, shared vectors and prompts have lengths of the method's own, so that nothing of them can differ.
        """
        if self.homeless or any(self.expected.shape_of(one) is not None for one in self.names.whole):
            return True
        factors = (*self.names.factors, *self.names.other)
        return any(
            (base := self._shape_of(one)) is not None and self._fitting(one, base) is not None for one in factors
        )

    def _fitting(self, factor: Factor, base: tuple[int, ...]) -> tuple[int, ...] | None:
        if factor.kind in KINDS and len(base) == 2 and 0 not in factor.tensor.shape:
            return own_lengths(factor.kind, factor.tensor.shape, base, self._settings)
        return _fitting(factor, base)

    def _shape_of(self, factor: Factor) -> tuple[int, ...] | None:
        return self.expected.shape_of(f"{factor.module}.weight")

    @cached_property
    def _absent(self) -> frozenset[str]:
        return frozenset(module for module in self.names.modules if self.expected.module_name(module) is None)


def _fitting(factor: Factor, base: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of this factor on a module of shape `base`, at its own rank; None where that is not known.

    Of methods other than LoRA: the shapes that peft 0.21 makes on linear layers and norms (peft/tuners/*/layer.py).
    """
    shape = factor.tensor.shape
    if factor.kind == "ln_tuning_layers":
        return base
    if len(base) != 2 or factor.leaf == "bias" or 0 in shape or not shape:
        return None
    out, into = base
    if factor.kind in _PAIR and len(shape) == 1:
        return (shape[0] // into or 1, into) if factor.kind == "lora_A" else (out, shape[0] // out or 1)
    by_output = _BY_OUTPUT.get((factor.kind, len(shape)))
    if by_output is not None:
        return None if holds_vocabulary(factor.module) else by_output(out, shape)
    by_input = _BY_INPUT.get((factor.kind, len(shape)))
    return None if by_input is None else by_input(into, shape)


_Fitting = Callable[[int, tuple[int, ...]], tuple[int, ...]]
# By part and number of axes, from the width of the module and the lengths that are the method's own.
_BY_INPUT: dict[tuple[str, int], _Fitting] = {
    ("lora_A", 2): lambda into, own: (own[0], into),
    ("lora_embedding_B", 2): lambda into, own: (into, own[1]),
    ("hada_w1_b", 2): lambda into, own: (own[0], into),
    ("hada_w2_b", 2): lambda into, own: (own[0], into),
    ("hra_u", 2): lambda into, own: (into, own[1]),
    # upper triangles of blocks; one may be shared by all
    ("oft_R", 2): lambda into, own: own if own[0] == 1 else (into // (side_of_triangle(own[1]) or into), own[1]),
}
_BY_OUTPUT: dict[tuple[str, int], _Fitting] = {
    ("lora_B", 2): lambda out, own: (out, own[1]),
    ("lora_magnitude_vector", 1): lambda out, _: (out,),
    ("lora_magnitude_vector", 2): lambda out, _: (1, out),
    ("hada_w1_a", 2): lambda out, own: (out, own[1]),
    ("hada_w2_a", 2): lambda out, own: (out, own[1]),
    ("vera_lambda_b", 1): lambda out, _: (out,),
    ("boft_s", 2): lambda out, _: (out, 1),
    # of a feed-forward layer it scales the input, and is a row
    ("ia3_l", 2): lambda out, own: own if own[0] == 1 else (out, 1),
}
