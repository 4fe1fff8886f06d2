"""The layers that peft wrapped, each as one operation: what fills it, what merging it writes, and how it can be run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, List, NamedTuple, Optional, Set, Tuple

from ..results import OperationEntry
from .adapters import TAG
from .io.files import refuse
from .skeleton import Skeleton

if TYPE_CHECKING:
    import torch

# Kept by peft to undo a merge, never read by it.
_UNUSED_BUFFERS = ("trainable_tokens_original",)


class Slot(NamedTuple):
    """One parameter of a unit: where it sits, what fills it (`base`: a state key, `adapter`: a tensor of the
    adapter)."""

    owner: torch.nn.Module
    attribute: str
    parameter: torch.nn.Parameter
    source: str
    name: str


class Output(NamedTuple):
    """One tensor that an operation writes: its path inside the merged module and its name in the files."""

    path: str
    key: str
    name: str


class Operation:
    """One unit of peft's (a wrapped layer) and what merging it writes. `mode` says how it can be run: `rows` (row
    blocks of the weight, cutting B and DoRA's magnitudes), `columns` (row blocks, cutting A), `whole`, or `replace` (no
    layer: the adapter's tensor)."""

    def __init__(
        self, kind: str, path: str, unit: torch.nn.Module, *, slots: List[Slot], outputs: List[Output], mode: str
    ) -> None:
        self.kind = kind
        self.path = path
        self.unit = unit
        self.slots = slots
        self.outputs = outputs
        self.mode = mode
        # The weight, then A and B of each adapter in the order of merging; `adapters` are peft's names of those.
        self.adapters: List[str] = _linear_adapters(unit, kind) if mode in ("rows", "columns") else []
        self.sides: Tuple[Slot, ...] = _linear_sides(unit, kind, slots, self.adapters) if self.adapters else ()
        # DoRA's magnitudes, one for each row of the weight.
        self.magnitudes = [slot for slot in slots if self.sides and slot.source == "adapter" and slot not in self.sides]
        self.adapter_tensors = sorted({slot.name for slot in slots if slot.source == "adapter"})

    @property
    def pairs(self) -> List[Tuple[Slot, Slot]]:
        """A and B of each adapter."""
        return list(zip(self.sides[1::2], self.sides[2::2]))  # noqa: B905 (Python 3.8 has no strict=)

    def describe(self) -> OperationEntry:
        return OperationEntry(
            tensor=self.outputs[0].name if self.outputs else None,
            tensors=tuple(output.name for output in self.outputs),
            kind=self.kind,
            module=self.path,
            adapter_tensors=tuple(self.adapter_tensors),
            mode=self.mode,
        )


def is_unit(module: torch.nn.Module) -> bool:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return isinstance(module, BaseTunerLayer) or hasattr(module, "original_module")


def units(model: torch.nn.Module) -> Iterator[Tuple[str, torch.nn.Module]]:
    """The outermost wrapped modules, each once, with the path it has in the unwrapped model."""
    seen: Set[int] = set()

    def walk(module: torch.nn.Module, path: str) -> Iterator[Tuple[str, torch.nn.Module]]:
        for name, child in module.named_children():
            if id(child) in seen:
                continue
            seen.add(id(child))
            here = path + "." + name if path else name
            if is_unit(child):
                yield here, child
            else:
                for found in walk(child, here):
                    yield found

    return walk(model, "")


def final_module(unit: torch.nn.Module) -> torch.nn.Module:
    """What stands in the unit's place once peft has merged and unloaded it."""
    if hasattr(unit, "modules_to_save"):
        module = unit.modules_to_save[active_adapter(unit)]
        return module.get_base_layer() if hasattr(module, "base_layer") else module
    if hasattr(unit, "original_module"):
        return unit.original_module
    return unit.get_base_layer()


def active_adapters(unit: torch.nn.Module) -> List[str]:
    active = unit.active_adapter
    return [active] if isinstance(active, str) else [str(one) for one in active]


def active_adapter(unit: torch.nn.Module) -> str:
    """The active adapter of a unit that has one, whichever of several it is."""
    held = getattr(unit, "modules_to_save", None)
    return next(name for name in active_adapters(unit) if held is None or name in held)


def operations_of(skeleton: Skeleton) -> List[Operation]:
    """Every operation that the wrapped skeleton stands for; the names of their outputs are still empty."""
    return list(_unit_operations(skeleton)) + list(_replacements(skeleton))


def _unit_operations(skeleton: Skeleton) -> Iterator[Operation]:
    for path, unit in units(skeleton.inner):
        kind = _kind(unit)
        final = final_module(unit)
        slots = list(_slots(unit, path))
        if not any(slot.source == "adapter" for slot in slots):
            raise refuse("`%s` is wrapped, but no tensor of the adapter belongs to it" % path)
        changing = _changing(unit, kind, final)
        outputs = [
            Output(name, path + "." + name, "")
            for name, parameter in final.named_parameters()
            if changing is None or name in changing or getattr(parameter, TAG, ("", ""))[0] == "adapter"
        ]
        needed = [slot for slot in slots if slot.source == "adapter" or _is_needed(slot, outputs, final)]
        mode = _mode(unit, kind, final, needed)
        yield Operation(kind, path, unit, slots=needed, outputs=outputs, mode=mode)


def _kind(unit: torch.nn.Module) -> str:
    family = type(unit).__module__.split(".")
    name = type(unit).__name__
    if hasattr(unit, "modules_to_save"):
        return "modules_to_save"
    if "TrainableTokens" in name:
        return "trainable_tokens"
    if "lora" in family:
        if name == "ParamWrapper":
            return "lora-parameter"
        if any(_flag(unit, "use_dora")) or getattr(unit, "lora_variant", None):
            return "dora" if any(_flag(unit, "use_dora")) else "lora-variant"
        return "lora" if name == "Linear" else "lora-" + name.lower()
    return family[2] if len(family) > 2 else name.lower()


def _flag(unit: torch.nn.Module, name: str) -> List[bool]:
    value = getattr(unit, name, None) or {}
    return [bool(one) for one in value.values()] if hasattr(value, "values") else [bool(value)]


def _changing(unit: torch.nn.Module, kind: str, final: torch.nn.Module) -> Optional[Set[str]]:
    """Names of the parameters that a merge of this kind changes; None means: any of them may be."""
    if kind == "lora-parameter":
        names, wrapper = set(), unit
        while hasattr(wrapper, "parameter_name"):
            names.add(wrapper.parameter_name)
            wrapper = wrapper.base_layer
        return names
    if kind in {"lora", "dora", "lora-variant", "lora-embedding", "lora-conv1d", "lora-conv2d", "lora-conv3d"}:
        return {"weight", "bias"} if any(_flag(unit, "lora_bias")) else {"weight"}
    if kind == "trainable_tokens":
        return {"weight"}
    return None


def _slots(unit: torch.nn.Module, path: str) -> Iterator[Slot]:
    seen: Set[Tuple[int, str]] = set()
    for module_name, module in unit.named_modules():
        for attribute, parameter in module.named_parameters(recurse=False):
            if (id(module), attribute) in seen:
                continue
            seen.add((id(module), attribute))
            source, name = getattr(parameter, TAG, ("none", ""))
            yield Slot(module, attribute, parameter, source, name)
        for attribute, buffer in module.named_buffers(recurse=False):
            if buffer.device.type != "meta":
                continue
            if not any(word in module_name for word in _UNUSED_BUFFERS):
                raise refuse("`%s` needs the buffer `%s`, which no file holds" % (path, attribute))


def _is_needed(slot: Slot, outputs: List[Output], final: torch.nn.Module) -> bool:
    if slot.source == "none":
        raise refuse("a parameter `%s` of a wrapped layer has no tensor in the adapter" % slot.attribute)
    written = {id(parameter) for name, parameter in final.named_parameters() if name in {one.path for one in outputs}}
    return id(slot.parameter) in written


def _mode(unit: torch.nn.Module, kind: str, final: torch.nn.Module, slots: List[Slot]) -> str:
    import torch

    plain = [slot for slot in slots if slot.source == "base"]
    paired = len(plain) == 1 and len(slots) == 1 + 2 * len(_linear_adapters(unit, kind))
    if kind == "lora" and paired and not any(_flag(unit, "lora_bias")):
        if getattr(unit, "fan_in_fan_out", False):
            return "columns"
        return "rows" if isinstance(final, torch.nn.Linear) else "whole"
    if kind == "dora" and _is_rowwise_dora(unit, slots) and isinstance(final, torch.nn.Linear):
        return "rows"
    if kind == "lora-embedding" and paired:
        return "columns"
    return "whole"


def _is_rowwise_dora(unit: torch.nn.Module, slots: List[Slot]) -> bool:
    """Whether each row of the merged weight depends on that row alone: m · (W + s·B·A) / ‖W + s·B·A‖, with one norm a
    row, of one adapter."""
    known = {"base": [2], "adapter": [1, 2, 2]}
    found = {source: sorted(slot.parameter.dim() for slot in slots if slot.source == source) for source in known}
    plain = not getattr(unit, "fan_in_fan_out", False) and not any(_flag(unit, "lora_bias"))
    return plain and found == known and len(slots) == 4


def _holders(unit: torch.nn.Module, kind: str, side: str) -> Optional[torch.nn.ModuleDict]:
    found: Optional[torch.nn.ModuleDict] = getattr(
        unit, ("lora_embedding_" if kind == "lora-embedding" else "lora_") + side, None
    )
    return found


def _linear_adapters(unit: torch.nn.Module, kind: str) -> List[str]:
    """The adapters that a plain LoRA unit has, in the order of merging."""
    held = _holders(unit, kind, "A")
    return [name for name in active_adapters(unit) if held is not None and name in held]


def _linear_sides(unit: torch.nn.Module, kind: str, slots: List[Slot], adapters: List[str]) -> Tuple[Slot, ...]:
    """The weight, then A and B of each adapter of a plain LoRA unit."""
    by_parameter = {id(slot.parameter): slot for slot in slots}
    held = [_holders(unit, kind, side) or {} for side in ("A", "B")]
    holders = [one[name] for name in adapters for one in held]
    sides = [by_parameter[id(one if kind == "lora-embedding" else one.weight)] for one in holders]
    return (next(slot for slot in slots if slot.source == "base"), *sides)


def _replacements(skeleton: Skeleton) -> Iterator[Operation]:
    """Base parameters outside every wrapped layer that the adapter file brings whole: resized embeddings, trained
    biases."""
    inside = {id(parameter) for _, unit in units(skeleton.inner) for parameter in unit.parameters()}
    for module_name, module in skeleton.inner.named_modules():
        for attribute, parameter in module.named_parameters(recurse=False):
            if id(parameter) in inside:
                continue
            source, name = getattr(parameter, TAG, ("", ""))
            if source == "adapter":
                key = module_name + "." + attribute if module_name else attribute
                slot = Slot(module, attribute, parameter, source, name)
                outputs = [Output(attribute, key, "")]
                yield Operation("replace", module_name, None, slots=[slot], outputs=outputs, mode="replace")
