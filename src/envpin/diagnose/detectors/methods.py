"""Detectors that ask what peft of this method and task would load: names, shapes by the config, trained weights
outside of the adapter's file."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from envpin.core.findings import Evidence
from envpin.core.sizes import counted, verb
from envpin.diagnose.adapter_names import LINEAR_EXPERTS, STACKED_EXPERTS
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.method_shapes import method_shapes
from envpin.diagnose.detectors.method_widths import method_widths
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
# What is left of a method's part in a name that lost its prefix: `q_proj_A.weight`, `k_proj_l`, `q_proj_w1_a`.
_BARE = re.compile(
    r"(?<=[a-z0-9])(_(?:[ABl]|[wt][12](?:_[ab])?|lambda_[bd]|u|R|s|block|kernel|spectrum))(?:\.weight)?$"
)
_ELSEWHERE = re.compile(
    r"non_lora_\w+\.(?:bin|pt|safetensors)|(?:v|value)_head\.(?:bin|safetensors)|mm_projector\.bin|vit\.safetensors|"
    r"trainable_params\.bin|(?:visual|vision)_(?:merger|tower|projector)\.(?:bin|pt|safetensors)|"
    r"(?:aligner|connector|projector|classifier|(?:\w+_)?head)\.(?:bin|pt|safetensors)|"
    r"(?:new_embeddings|learned_embeds)\.(?:bin|safetensors)"
)


# The field by which a method scales its change.
_ALPHA = {
    "LORA": "lora_alpha", "ADALORA": "lora_alpha", "LOHA": "alpha", "LOKR": "alpha", "GRALORA": "alpha",
    "RANDLORA": "randlora_alpha", "FOURIERFT": "scaling", "WAVEFT": "scaling",
}  # fmt: skip
# What a weight's change is multiplied with or divided by.
_SCALING = ("lora_alpha", "alpha", "r", "scaling", "lora_dropout", "init_scale", "eps")


def detect_method(subject: CheckSubject) -> Iterator[Finding]:
    """What the adapter's files show by its method."""
    if not subject.is_adapter:
        return
    yield from _names(subject)
    yield from _alpha(subject)
    yield from _not_finite(subject)
    yield from method_shapes(subject, kind_of(subject))
    yield from method_widths(subject, kind_of(subject))
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
    yield finding("tensors-not-of-method", one, seen_of(other), fix=_renamed(other, prefixes), names=places(subject))


def _renamed(other: list[Tensor], prefixes: tuple[str, ...]) -> tuple[str, ...] | None:
    """What to do about tensors of another method, or of this one without its prefix, which an adapter of the prefix's
    name loses on saving."""
    methods = [
        method for method, parts in PREFIXES.items()
        if all(any(f".{part}" in f".{one.name}" for part in parts) for one in other)
    ]  # fmt: skip
    if methods:
        return (
            f"they are named as those of {methods[0]}: take the adapter_config.json that was saved with these weights",
        )
    prefix = prefixes[0].removesuffix("_")
    lost = next((found for one in other if (found := _BARE.search(one.name)) is not None), None)
    if lost is None or not all(map(_BARE.search, (one.name for one in other))):
        return None
    return (
        (
            f"rename the tensors: `.{prefix}{lost[1]}` for `{lost[1]}` and its like, which an adapter named `{prefix}` "
            "loses on saving (peft#2699)"
        ),
        f"next time give the adapter another name than `{prefix}`",
    )


def _alpha(subject: CheckSubject) -> Iterator[Finding]:
    """A change that is multiplied by 0, for all modules or for some."""
    config = subject.adapter_config
    field = _ALPHA.get(kind_of(subject))
    pattern = config.get("alpha_pattern")
    own = pattern if isinstance(pattern, dict) else {}
    if field is None:
        return
    off = [name for name, value in own.items() if _is_zero(value)]
    whole = _is_zero(config.get(field)) and len(off) == len(own)
    if not off and not _is_zero(config.get(field)):
        return
    if whole:
        text = f"`{field}` is 0: {_all_that_is_off(subject)}"
    elif off:
        others = " and more" if len(off) > 1 else ""
        text = f"`alpha_pattern` is 0 for `{off[0]}`{others}: the adapter changes nothing there"
    else:
        text = f"`{field}` is 0: the adapter changes nothing but the modules that `alpha_pattern` names"
    seen = [Evidence(file="adapter_config.json", found=f"{field}: {config.get(field)}")] if not off else [
        Evidence(file="adapter_config.json", found=f"alpha_pattern.{name}: {own[name]}") for name in off[:SHOWN]
    ]  # fmt: skip
    fix = (f"put back the `{'alpha_pattern' if off else field}` that training used",)
    yield finding("adapter-is-noop", text, seen, fix=fix, names=places(subject))


def _is_zero(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0


def _all_that_is_off(subject: CheckSubject) -> str:
    """What a scaling of 0 leaves: DoRA's magnitudes and whole tensors act without it."""
    names = subject.names
    if subject.adapter_config.get("use_dora"):
        return "the factors change nothing, and the magnitudes of DoRA alone act"
    if names is not None and names.whole:
        return f"the factors change nothing, and {counted(len(names.whole), 'whole tensor')} alone act"
    return "the adapter changes nothing"


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


def _elsewhere(subject: CheckSubject) -> Iterator[Finding]:
    files = sorted(name for name in subject.folder.names if _ELSEWHERE.fullmatch(name))
    if empty := [name for name in files if _is_empty(subject, name)]:
        text = f"`{empty[0]}` is empty (0 bytes): if training wrote weights there, a merge goes without them"
        fix = ("copy or download the file again, or take another checkpoint of the run",)
        yield finding("trained-weights-elsewhere", text, [Evidence(file=name, found="0 bytes") for name in empty],
                      fix=fix, names=places(subject))  # fmt: skip
    files = [name for name in files if name not in empty]
    if files:
        text = f"trained weights lie in `{files[0]}`, which peft does not read: a merge without them loses them"
        yield finding("trained-weights-elsewhere", text, [Evidence(file=name) for name in files[:SHOWN]],
                      names=places(subject))  # fmt: skip


def _is_empty(subject: CheckSubject, name: str) -> bool:
    try:
        return subject.folder.is_local and (subject.folder.files / name).stat().st_size == 0
    except OSError:
        return False


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
