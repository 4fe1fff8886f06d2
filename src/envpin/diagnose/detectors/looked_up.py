"""Detectors that ask whether peft finds an adapter's tensors by their names.

peft looks a tensor up by the whole name that its module has in the model: `base_model.model.`, the module's path in the
model's class, the method's part, `.weight`. What has another name is left out, at most with a warning of missing keys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.sizes import counted, verb
from envpin.diagnose.adapter_names import of_base, placeless
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.methods import PREFIXES, kind_of
from envpin.diagnose.detectors.shapes import places, seen_of
from envpin.matrix.refusals import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.adapter_names import AdapterNames, Factor
    from envpin.diagnose.comparison import Comparison
    from envpin.diagnose.subject import CheckSubject

PREFIX = "base_model.model."
_NAMED = re.compile(
    r"\.lora_[AB]\.[^.]+\.weight$|\.(?:lora_embedding_[AB]|ia3_l|hada_w\d_[ab]|vera_lambda_[bd]|hra_u|boft_[Rs]|oft_R)"
    r"\.(?!weight$)[^.]+(?:\.weight)?$|\.modules_to_save(?:\.[^.]+)?\.(?:weight|bias)$"
)
# What belongs to no module, and has other names: prompts, and matrices that all modules share.
_OF_NO_MODULE = re.compile(r"^prompt_|^base_model\.(?!model\.)")
# What `lora_` is followed by in names that peft reads; AdaLoRA has E and ranknum.
_READ = re.compile(
    r"lora_(?:embedding_)?[AB]\b|lora_magnitude_vector\b|lora_(?:E|ranknum|diag)\b|lora_(?:velora|monteclora)_"
)
_PARTS_OF_KOHYA = re.compile(r"\.lora_(?:down|up)\b")
# Tasks whose class of peft wants the model with its head.
_OF_A_HEAD = TASKS - {"FEATURE_EXTRACTION"}


def detect_looked_up(subject: CheckSubject) -> Iterator[Finding]:
    """Tensors that have the method's parts in their names, and that peft does not find by them."""
    names = subject.names
    if names is None or kind_of(subject) not in PREFIXES:
        return
    yield from _prefix(names, subject)
    yield from _adapter_name(names, subject)
    yield from _parts(subject)
    yield from _leaf(names, subject)
    if subject.comparison is not None:
        yield from _place(subject.comparison, subject)


def _prefix(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    wrapped = {*names.compiled, *names.wrapped}
    held = [one.tensor for one in (*names.factors, *names.other)]
    bare = [one for one in held if one.name not in wrapped and not _OF_NO_MODULE.search(one.name)]
    lacking = [one for one in bare if not one.name.startswith(PREFIX)]
    twice = [one for one in bare if one.name.startswith(f"{PREFIX}{PREFIX}")]
    fix: tuple[str, ...]
    if lacking:
        text = f"{of_all(lacking, subject)} a name that does not begin with `{PREFIX}`: peft reads none of them"
        fix = (f"put `{PREFIX}` in front of their names, or save again with peft's `save_pretrained`",)
        yield dropped(text, lacking, fix, subject)
    if twice:
        text = (
            f"{of_all(twice, subject)} `{PREFIX}` in front twice: an adapter was put on a model that had one, and "
            "peft reads none of them"
        )
        fix = (
            f"take one `{PREFIX}` off their names, where the model below was the plain base",
            "next time unload or merge the first adapter before `get_peft_model`",
        )
        yield dropped(text, twice, fix, subject)


def _adapter_name(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """`state_dict()` written as it is: `save_pretrained` leaves the adapter's name out, and loading puts one in.

    peft 0.12.0 with transformers 4 drops every such factor, peft 0.21.2 with transformers 5 reads them. Whole modules
    that are named so end the load of either.
    """
    named = [one.tensor for one in (*names.factors, *names.other) if _NAMED.search(one.tensor.name)]
    whole = [one for one in names.whole.values() if _NAMED.search(one.name)]
    fix: tuple[str, ...]
    if named:
        text = (
            f"{of_all(named, subject)} the adapter's name in it, which `save_pretrained` leaves out: peft under "
            "transformers 4 reads none of them"
        )
        fix = (
            "take the adapter's name out of their names: `.lora_A.default.weight` is `.lora_A.weight` in a saved file",
        )
        severity: Severity = "blocker" if whole or subject.below("transformers", "5.0") else "warning"
        yield finding("tensors-not-of-method", text, seen_of(named), severity=severity, fix=fix, names=places(subject))
    if whole:
        text = (
            f"{of_all(whole, subject)} `modules_to_save` in the name, which `save_pretrained` leaves out: peft looks "
            "for the module's own name"
        )
        fix = (
            "take it out of their names: `lm_head.modules_to_save.default.weight` is `lm_head.weight` in a saved file",
        )
        yield dropped(text, whole, fix, subject)


def _parts(subject: CheckSubject) -> Iterator[Finding]:
    """Parts of LoRA by another program's names."""
    if kind_of(subject) not in {"LORA", "ADALORA"}:
        return
    tensors = subject.folder.adapter_tensors
    other = [one for name, one in tensors.items() if ".lora_" in name and _READ.search(name) is None]
    if not other:
        return
    text = f"{of_all(other, subject)} a part of LoRA that peft does not call so: it reads none of them"
    fix: tuple[str, ...] = ("save again with peft's `save_pretrained`, or convert the names to `lora_A` and `lora_B`",)
    if all(_PARTS_OF_KOHYA.search(one.name) for one in other):
        fix = (
            "rename them: `lora_down` is `lora_A`, `lora_up` is `lora_B`",
            "the alpha of kohya's files is a tensor: write its value as `lora_alpha` into adapter_config.json",
        )
    yield dropped(text, other, fix, subject)


def _leaf(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """AdaLoRA's factors are parameters of their own, and have none."""
    if kind_of(subject) == "ADALORA":
        return
    bare = [one.tensor for one in names.factors if re.search(r"\.lora_[AB]$", one.tensor.name)]
    if bare:
        text = f"{of_all(bare, subject)} a name without `.weight` at its end: peft does not find all of them"
        fix = ("put `.weight` at the end of their names, or save again with peft's `save_pretrained`",)
        yield dropped(text, bare, fix, subject)


def _place(compared: Comparison, subject: CheckSubject) -> Iterator[Finding]:
    """Modules that the base has, and that its class holds in another place than the name says.

    Asked of bases of one model: those that hold several (vision and language) are called otherwise by other releases.
    """
    if any(isinstance(one, dict) and _is_of_a_model(name, one) for name, one in subject.base_config.items()):
        return
    headless: list[Factor] = []
    elsewhere: list[Factor] = []
    wrapped = {*compared.names.compiled, *compared.names.wrapped}
    first = ""
    for one in (*compared.names.factors, *compared.names.other):
        held = _held_at(of_base(one.module), compared) if one.module and one.tensor.name not in wrapped else None
        if held is None:
            continue
        module, stored = of_base(one.module), held
        if stored.endswith(f".{module}"):
            if "." not in stored.removesuffix(f".{module}"):
                headless.append(one)
                first = first or stored
                continue
        elif module.endswith(f".{stored}") and _lacks_a_prefix(stored, module.removesuffix(f".{stored}")):
            continue
        elsewhere.append(one)
        first = first or stored
    config = subject.adapter_config
    if headless and str(config.get("task_type")).upper() in _OF_A_HEAD:
        text = (
            f"{of_all([one.tensor for one in headless], subject)} a name as in the model without its head (AutoModel): "
            f"with its head the base has `{first}`, and peft reads none of them there"
        )
        fix = (
            "load the base by the class that training used: AutoModel, with `task_type` FEATURE_EXTRACTION",
            f"only if training had the head: put `{first.partition('.')[0]}.` in front of the modules' names",
        )
        yield _not_there(text, headless, fix, subject)
    if elsewhere:
        text = (
            f"{of_all([one.tensor for one in elsewhere], subject)} a name of another place than the base's module has, "
            f"which is `{first}`: peft reads none of them"
        )
        fix = (
            "find the base that training loaded: a model of text and images, or a wrapper, has such names",
            f"only if it was this base: rename the modules to `{first}` and its like",
        )
        yield _not_there(text, elsewhere, fix, subject)


def _is_of_a_model(name: str, part: dict[str, object]) -> bool:
    """Whether a part of a config is that of a model of its own: `text_config`, `vision_config`, `encoder`."""
    own = name.endswith("_config") and name not in {"quantization_config", "generation_config"}
    return own or "hidden_size" in part or "model_type" in part


def _lacks_a_prefix(stored: str, before: str) -> bool:
    """Whether files leave out the prefix of the model's class, as GPT-2's do: `h.0` for `transformer.h.0`."""
    return "." not in before and stored.partition(".")[0] not in {before, "model", "transformer", "language_model"}


def _held_at(module: str, compared: Comparison) -> str | None:
    """The path of the base's module of this name; None where it stands in the same place, by the files or by the names
    of a newer transformers, or where it is none of its like."""
    name = compared.expected.module_name(module)
    if name is None or compared.expected.is_called(module):
        return None
    path = name.rpartition(".")[0]
    return path if placeless(path) == placeless(module) and path != module else None


def _not_there(text: str, factors: list[Factor], fix: tuple[str, ...], subject: CheckSubject) -> Finding:
    seen = seen_of([one.tensor for one in factors])
    return finding("unmatched-adapter-keys", text, seen, fix=fix, names=places(subject))


def of_all(tensors: list[Tensor], subject: CheckSubject) -> str:
    """`3 of 8 tensors have`."""
    whole = counted(len(subject.folder.adapter_tensors), "tensor")
    return f"{len(tensors)} of {whole} {verb(len(tensors), 'has', 'have')}"


def dropped(text: str, tensors: list[Tensor], fix: tuple[str, ...], subject: CheckSubject) -> Finding:
    """Tensors that peft does not read."""
    return finding("tensors-not-of-method", text, seen_of(tensors), fix=fix, names=places(subject))
