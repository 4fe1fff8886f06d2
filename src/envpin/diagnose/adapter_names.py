"""What the tensor names of a peft adapter say: which module of the base each belongs to, and as what. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envpin.checkpoint.formats.safetensors import Tensor

_FACTOR = re.compile(
    r"^(?P<module>.*?)\.(?P<factor>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
    r"(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?:\.(?P<leaf>weight|bias))?$"
)
# Parameters of peft's other methods, and of prompt learning: peft's own code has to judge those.
_OTHER = re.compile(
    r"\.(?:hada_|lokr_|ia3_|oft_|boft_|vera_|lora_E|lora_ranknum|ln_tuning|hra_|vblora_|fourierft_|bone_|miss_|randlora_|"
    r"trainable_tokens_|road_|shira_|c3a_|waveft_|delora_|osf_|lora_diag|lora_velora_|"
    r"lora_monteclora_|lora_xs|arrow_)|^prompt_embeddings|^prompt_encoder"
)
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_WHOLE = (
    ".modules_to_save.default",
    ".modules_to_save",
    ".original_module",
    ".token_adapter.base_layer",
    ".base_layer",
)
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block|layer)\.(\d{1,6})\.")
_EXPERT = re.compile(r"\.experts\.(?:\d+\.)")
_FUSED_EXPERTS = re.compile(r"\.experts(?:\.base_layer)*$")
# What peft puts between a module and a second adapter on it: on another of its parameters (`target_parameters`), or on
# a module within it (`out_proj` of a MultiheadAttention).
_WITHIN = re.compile(r"\.base_layer(?=\.|$)")
# Experts as a hosted trainer stacks them, and as Unsloth takes gpt-oss apart: in no release of transformers.
STACKED_EXPERTS = re.compile(r"\.experts\.w[123]$")
LINEAR_EXPERTS = re.compile(r"\.experts\.(?:gate_up_projs|down_projs)\.\d+$")
# Parts that only say where the language model sits inside a model.
_PLACES = frozenset({"base_model", "model", "language_model", "text_model", "transformer", "decoder", "module"})


class Factor(NamedTuple):
    """One tensor of a method. `module` is the base's name for the module, without wrappers' prefixes; empty for what
    belongs to no module: prompts, and what all modules share. `kind` is the method's name for it: `lora_A`, `ia3_l`."""

    module: str
    kind: str
    leaf: str
    tensor: Tensor


@dataclass
class AdapterNames:
    """`whole` maps a base parameter to the tensor that replaces it; `other` holds the tensors of methods that are not
    LoRA."""

    factors: list[Factor] = field(default_factory=list)
    whole: dict[str, Tensor] = field(default_factory=dict)
    other: list[Factor] = field(default_factory=list)
    compiled: list[str] = field(default_factory=list)
    wrapped: list[str] = field(default_factory=list)

    @property
    def modules(self) -> list[str]:
        """The modules that the adapter changes, each once, in the file's order."""
        return list(dict.fromkeys(factor.module for factor in (*self.factors, *self.other) if factor.module))

    @property
    def names_single_experts(self) -> bool:
        return any(_EXPERT.search(f"{module}.") for module in self.modules)

    @property
    def names_fused_experts(self) -> bool:
        return any(_FUSED_EXPERTS.search(module) for module in self.modules)

    @property
    def layers(self) -> set[int]:
        return {number for module in self.modules if (number := layer_of(module)) is not None}


def read_names(tensors: Mapping[str, Tensor]) -> AdapterNames:
    """Sort an adapter's tensors by what their names say."""
    names = AdapterNames()
    for name, tensor in tensors.items():
        bare = _unwrapped(name, names)
        bare = bare.removeprefix("base_model.model.")
        match = _FACTOR.match(bare)
        if match is not None:
            names.factors.append(Factor(match["module"], match["factor"], match["leaf"] or "weight", tensor))
        elif (part := _OTHER.search(bare)) is not None:
            names.other.append(_of_another_method(bare, part.start(), tensor))
        else:
            names.whole[_own_name(bare)] = tensor
    return names


def _of_another_method(bare: str, at: int, tensor: Tensor) -> Factor:
    """A tensor of a method other than LoRA; its part begins at a dot, or at the name's beginning."""
    module, (kind, *leaf) = bare[:at], bare[at:].lstrip(".").split(".")
    module = module.removesuffix(".token_adapter")
    return Factor("" if module == "base_model" else module, kind, leaf[-1] if leaf else "", tensor)


def is_factor(name: str) -> bool:
    """Whether it is a name that peft gives to a tensor of one of its methods."""
    bare = name.removeprefix("base_model.model.")
    return bare != name and bool(_FACTOR.match(bare) or _OTHER.search(bare))


def is_saved_whole(parameter: str, modules: Iterable[str]) -> bool:
    """Whether peft keeps a parameter whole for one of `modules_to_save`. It finds a module by the end of its name, so
    that `classifier` names DistilBERT's `pre_classifier` too (`_set_trainable` in peft/utils/other.py)."""
    parts = parameter.split(".")[:-1]
    above = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    wanted = tuple(modules)
    return any(one.endswith(wanted) for one in above)


def _unwrapped(name: str, names: AdapterNames) -> str:
    """The name without what wrappers put into it, which is noted. Nearly all have nothing of that."""
    if not any(map(name.__contains__, _WRAPPERS)):
        if name.startswith("module."):
            names.wrapped.append(name)
            return name.removeprefix("module.")
        return name
    parts = name.split(".")
    if "_orig_mod" in parts:
        names.compiled.append(name)
    elif parts[0] == "module" or any(part in _WRAPPERS for part in parts):
        names.wrapped.append(name)
    return ".".join(part for part in parts if part not in _WRAPPERS).removeprefix("module.")


def layer_of(name: str) -> int | None:
    """The layer number in a parameter's name."""
    match = _LAYER.search(f"{name}.")
    return int(match[1]) if match else None


def has_own_experts(module: str) -> bool:
    """Whether a module is in one of the layouts of experts that no release has, its trainer's `unembed_tokens` too."""
    return bool(STACKED_EXPERTS.search(module) or LINEAR_EXPERTS.search(module)) or module.endswith("unembed_tokens")


def is_fused_experts(module: str) -> bool:
    """Whether a module holds all experts of a layer in one parameter each."""
    return bool(_FUSED_EXPERTS.search(module))


def of_base(module: str) -> str:
    """A module of an adapter by the name that it has before peft wraps it."""
    return _WITHIN.sub("", module)


def placeless(name: str) -> str:
    """A name without the parts that say where the language model sits, so that two eras' names compare equal."""
    return ".".join(part for part in name.split(".") if part not in _PLACES)


def _own_name(bare: str) -> str:
    module, dot, leaf = bare.rpartition(".")
    for ending in _WHOLE:
        module = module.removesuffix(ending)
    return f"{module}{dot}{leaf}"
