"""Detectors that ask what peft of this method and task would load: names, shapes by the config, trained weights
outside of the adapter's file."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.core.findings import Evidence
from envpin.core.sizes import counted, verb
from envpin.diagnose.adapter_names import LINEAR_EXPERTS, STACKED_EXPERTS
from envpin.diagnose.axes import side_of_triangle
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import SHOWN, places, seen_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.core.findings import Finding
    from envpin.diagnose.subject import CheckSubject

# What stands in the names of the tensors of a method: the prefix by which peft picks them from a state dict, and
# prompts' own names (peft/tuners/*/model.py `prefix`, peft/utils/save_and_load.py). A method that is not here is new.
PREFIXES: dict[str, tuple[str, ...]] = {
    "LORA": ("lora_",), "ADALORA": ("lora_",), "IA3": ("ia3_",), "LOHA": ("hada_",), "LOKR": ("lokr_",),
    "OFT": ("oft_",), "BOFT": ("boft_",), "VERA": ("vera_",), "FOURIERFT": ("fourierft_",), "HRA": ("hra_",),
    "VBLORA": ("vblora_",), "BONE": ("bone_",), "MISS": ("miss_",), "RANDLORA": ("randlora_",), "SHIRA": ("shira_",),
    "C3A": ("c3a_",), "ROAD": ("road_",), "WAVEFT": ("waveft_",), "DELORA": ("delora_",), "OSF": ("osf_",),
    "LN_TUNING": ("ln_tuning_",), "TRAINABLE_TOKENS": ("trainable_tokens_",), "PROMPT_TUNING": ("prompt_",),
    "P_TUNING": ("prompt_",), "PREFIX_TUNING": ("prompt_",), "CPT": ("prompt_",),
    "MULTITASK_PROMPT_TUNING": ("prompt_",),
}  # fmt: skip
# Methods that replace a norm's weight under its own name.
_WHOLE = frozenset({"LN_TUNING", "ADAPTION_PROMPT", "XLORA", "POLY"})
# The heads that peft adds to `modules_to_save` on loading, whatever the config says (peft/peft_model.py).
HEADS: dict[str, tuple[str, ...]] = {
    "SEQ_CLS": ("classifier", "score"), "TOKEN_CLS": ("classifier", "score"), "QUESTION_ANS": ("qa_outputs",),
}  # fmt: skip
_ELSEWHERE = re.compile(
    r"non_lora_\w+\.(?:bin|pt|safetensors)|(?:v|value)_head\.(?:bin|safetensors)|mm_projector\.bin|vit\.safetensors|"
    r"trainable_params\.bin|(?:visual|vision)_(?:merger|tower|projector)\.(?:bin|pt|safetensors)|"
    r"(?:aligner|connector|projector|classifier|head)\.(?:bin|pt|safetensors)"
)


class _Axis(NamedTuple):
    """The axis of a tensor (by a part of its name) whose length a field of the config gives."""

    part: str
    axis: int
    field: str


_AXES: dict[str, tuple[_Axis, ...]] = {
    "HRA": (_Axis("hra_u", 1, "r"),),
    "LOHA": (_Axis("hada_w1_b", 0, "r"), _Axis("hada_w2_b", 0, "r")),
    "FOURIERFT": (_Axis("fourierft_spectrum", 0, "n_frequency"),),
    "VERA": (_Axis("vera_lambda_d", 0, "r"),),
    "BOFT": (_Axis("boft_R", -1, "boft_block_size"),),
    "WAVEFT": (_Axis("waveft_spectrum", 0, "n_frequency"),),
    "PROMPT_TUNING": (_Axis("prompt_embeddings", 0, "num_virtual_tokens"),),
    "PREFIX_TUNING": (_Axis("prompt_embeddings", 0, "num_virtual_tokens"),),
}


# What a weight's change is multiplied with or divided by.
_SCALING = ("lora_alpha", "alpha", "r", "scaling", "lora_dropout", "init_scale", "eps")


def detect_method(subject: CheckSubject) -> Iterator[Finding]:
    """What the adapter's files show by its method."""
    if not subject.is_adapter:
        return
    yield from _names(subject)
    yield from _alpha(subject)
    yield from _not_finite(subject)
    yield from _shapes(subject)
    yield from _elsewhere(subject)
    yield from _experts(subject)
    yield from _head(subject)


def kind_of(subject: CheckSubject) -> str:
    """The `peft_type` in capitals; LORA where there is none."""
    return str(subject.adapter_config.get("peft_type") or "LORA").upper()


def is_task_head(parameter: str, config: Mapping[str, object]) -> bool:
    """Whether a whole tensor belongs to the head that peft saves and loads for this task by itself."""
    return bool(set(parameter.split(".")[:-1]) & set(task_heads(config)))


def task_heads(config: Mapping[str, object]) -> tuple[str, ...]:
    """The modules that peft adds to `modules_to_save` for the task of an adapter."""
    return HEADS.get(str(config.get("task_type") or "").upper(), ())


def _names(subject: CheckSubject) -> Iterator[Finding]:
    tensors = subject.folder.adapter_tensors
    prefixes = PREFIXES.get(kind_of(subject))
    if prefixes is None or kind_of(subject) in _WHOLE or not tensors:
        return
    other = [one for name, one in tensors.items() if not any(part in name for part in prefixes)]
    saved = subject.adapter_config.get("modules_to_save")
    if len(other) < len(tensors) or (saved and isinstance(saved, list)):
        other = [one for one in other if re.search(r"\w_[AB]\.(?:\w+\.)?weight$", one.name)]
    if not other:
        return
    all_of_them = len(other) == len(tensors)
    what = (
        f"none of the {counted(len(tensors), 'tensor')} is"
        if all_of_them
        else f"{len(other)} of {counted(len(tensors), 'tensor')} {verb(len(other), 'is', 'are')} not"
    )
    one = f"{what} one that peft reads for {kind_of(subject)}" if all_of_them else (
        f"{what} among those that peft reads for {kind_of(subject)}")  # fmt: skip
    fix = None
    if all(re.search(r"\w_[AB]\.(?:\w+\.)?weight$", tensor.name) for tensor in other):
        fix = (
            (
                "rename the tensors: `.lora_A` and `.lora_B` for `_A` and `_B`, which an adapter named `lora` loses on "
                "saving (peft#2699)"
            ),
            "next time give the adapter another name than `lora`",
        )
    yield finding("tensors-not-of-method", one, seen_of(other), fix=fix, names=places(subject))


def _alpha(subject: CheckSubject) -> Iterator[Finding]:
    config = subject.adapter_config
    alpha, pattern = config.get("lora_alpha"), config.get("alpha_pattern")
    own = list(pattern.values()) if isinstance(pattern, dict) else []
    numbers = [one for one in (alpha, *own) if isinstance(one, (int, float)) and not isinstance(one, bool)]
    if kind_of(subject) not in {"LORA", "ADALORA"} or 0 not in numbers:
        return
    whole = alpha == 0 and not any(own)
    text = "`lora_alpha` is 0: the adapter changes nothing" if whole else (
        "`lora_alpha` or `alpha_pattern` is 0 for some modules: the adapter changes nothing there")  # fmt: skip
    seen = [Evidence(file="adapter_config.json", found=f"lora_alpha: {alpha}")]
    fix = ("put back the `lora_alpha` that training used",)
    yield finding("adapter-is-noop", text, seen, fix=fix, names=places(subject))


def _not_finite(subject: CheckSubject) -> Iterator[Finding]:
    """JSON of Python lets NaN and Infinity through, and whatever they scale becomes NaN without an error."""
    config = subject.adapter_config
    pattern = config.get("alpha_pattern")
    given = {name: config.get(name) for name in _SCALING}
    given |= {f"alpha_pattern.{name}": value for name, value in (pattern.items() if isinstance(pattern, dict) else ())}
    wrong = {name: value for name, value in given.items() if isinstance(value, (int, float)) and not _is_finite(value)}
    if wrong:
        first = next(iter(wrong))
        text = f"`{first}` is {str(wrong[first])[:20]}, which is no number that a weight can be scaled by"
        seen = [
            Evidence(file="adapter_config.json", found=f"{name}: {str(value)[:20]}") for name, value in wrong.items()
        ]
        fix = (f"put back the `{first}` that training used",)
        yield finding("corrupt-header", text, seen[:SHOWN], fix=fix, names=places(subject))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def _shapes(subject: CheckSubject) -> Iterator[Finding]:
    config, tensors = subject.adapter_config, subject.folder.adapter_tensors
    if kind_of(subject) == "OFT":
        yield from _oft(subject)
    for axis in _AXES.get(kind_of(subject), ()):
        wanted = config.get(axis.field)
        if type(wanted) is not int or wanted < 1 or config.get("rank_pattern") or config.get("n_frequency_pattern"):
            continue
        wrong = [
            one
            for name, one in tensors.items()
            if axis.part in name and one.shape and 0 not in one.shape and _along(one, axis) != wanted
        ]
        if wrong:
            text = (
                f"{counted(len(wrong), 'tensor')} {verb(len(wrong), 'has', 'have')} "
                f"{_along(wrong[0], axis) or 'no axis'} where `{axis.field}` says {wanted}"
            )
            yield finding(
                "method-shape-mismatch", text, seen_of(wrong, f"{axis.field} {wanted}"), names=places(subject)
            )


def _along(tensor: Tensor, axis: _Axis) -> int | None:
    """The length of an axis; None of a tensor that has fewer."""
    shape = tensor.shape
    return shape[axis.axis] if -len(shape) <= axis.axis < len(shape) else None


def _oft(subject: CheckSubject) -> Iterator[Finding]:
    """`oft_R` holds the upper triangle of each block: [blocks, size (size - 1) / 2]; peft before 0.16 held squares."""
    size, count = subject.adapter_config.get("oft_block_size"), subject.adapter_config.get("r")
    shared = subject.adapter_config.get("block_share") is True
    wrong: list[tuple[Tensor, int, int]] = []
    for name, tensor in subject.folder.adapter_tensors.items():
        if "oft_R" not in name or len(tensor.shape) != 2 or 0 in tensor.shape:
            continue
        blocks, inner = tensor.shape
        own = side_of_triangle(inner)
        if own is None:
            continue
        if (type(size) is int and size > 0 and own != size) or (
            not size and not shared and type(count) is int and count > 0 and blocks != count
        ):
            wrong.append((tensor, blocks, own))
    if wrong:
        _, blocks, own = wrong[0]
        says = f"blocks of {size}" if size else counted(count if isinstance(count, int) else None, "block")
        text = (
            f"`oft_R` has {counted(blocks, 'block')} of {own} in {counted(len(wrong), 'module')}, "
            f"adapter_config.json says {says}"
        )
        fix = (
            f"set `oft_block_size` to {own} and `r` to 0, if this config is of another run than the weights",
            "take config and weights of the same checkpoint; the base is not at fault",
        )
        expected = f"{counted(blocks * own // size, 'block')} of {size}" if type(size) is int and size else str(count)
        seen = seen_of([one for one, *_ in wrong], expected)
        yield finding("method-shape-mismatch", text, seen, fix=fix, names=places(subject))


def _elsewhere(subject: CheckSubject) -> Iterator[Finding]:
    files = sorted(name for name in subject.folder.names if _ELSEWHERE.fullmatch(name))
    if files:
        text = f"trained weights lie in `{files[0]}`, which peft does not read: a merge without them loses them"
        yield finding("trained-weights-elsewhere", text, [Evidence(file=name) for name in files[:SHOWN]],
                      names=places(subject))  # fmt: skip


def _experts(subject: CheckSubject) -> Iterator[Finding]:
    """Layouts of experts that no release of transformers has."""
    names = subject.names
    modules = names.modules if names is not None else []
    stacked = [one for one in modules if STACKED_EXPERTS.search(one)]
    if names is not None and stacked and any(len(one.tensor.shape) == 3 for one in names.factors):
        text = (
            f"{counted(len(stacked), 'module')} with stacked experts by the names of a hosted trainer "
            "(`experts.w1`, `w3`, `w2` "
            "are gate, up and down; `unembed_tokens` is lm_head): no release of transformers or peft reads them"
        )
        fix = (
            "convert it with the trainer's own export (tinker-cookbook has one for adapters and one for whole models)",
        )
        yield finding("moe-layout", text, _modules(subject, stacked), fix=fix, names=places(subject))
    linear = [one for one in modules if LINEAR_EXPERTS.search(one)]
    if linear:
        text = (
            f"{counted(len(linear), 'module')} with single experts (`gate_up_projs.N`, `down_projs.N`), as "
            "Unsloth rebuilds "
            "gpt-oss to train it; the official model has them stacked, and no release of transformers has these names"
        )
        fix = (("merge with Unsloth, or stack the factors of the experts into those of `experts.gate_up_proj` and "
               "`experts.down_proj`"),)  # fmt: skip
        yield finding("moe-layout", text, _modules(subject, linear), fix=fix, names=places(subject))


def _head(subject: CheckSubject) -> Iterator[Finding]:
    names = subject.names
    heads = [] if names is None else [
        tensor for parameter, tensor in names.whole.items()
        if is_task_head(parameter, subject.adapter_config) and parameter.endswith("weight") and len(tensor.shape) == 2
    ]  # fmt: skip
    if not heads:
        return
    last = heads[-1]
    what = (
        "question answering head"
        if subject.adapter_config.get("task_type") == "QUESTION_ANS"
        else "classification head"
    )
    own = next((tensor for name, tensor in _base_tensors(subject) if _same_head(name, last.name)), None)
    differs = f", where the base has {own.shape[0]}" if own is not None and own.shape[0] != last.shape[0] else ""
    text = f"{what}, {counted(last.shape[0], 'label')}{differs}: peft loads it for this task, and a merge keeps it"
    yield finding("task-head", text, seen_of(heads), names={**places(subject), "labels": str(last.shape[0])})


def _base_tensors(subject: CheckSubject) -> Iterable[tuple[str, Tensor]]:
    return subject.base.tensors.items() if subject.base is not None else ()


def _same_head(base: str, own: str) -> bool:
    return own.removeprefix("base_model.model.").replace(".modules_to_save", "").replace(".default", "") == base


def _modules(subject: CheckSubject, modules: list[str]) -> list[Evidence]:
    file = next(iter(subject.folder.weight_files), None)
    return [Evidence(file=file, tensor=one) for one in modules[:SHOWN]]
