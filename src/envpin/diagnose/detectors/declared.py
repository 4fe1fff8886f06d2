"""Detectors that hold an adapter's tensors against what its own config says was trained.

peft makes the modules that the config names, then fills them from the file: what the file lacks keeps its first value,
and what the config does not name is dropped, both at most with a warning.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.checkpoint.config import text_flag
from envpin.core.findings import Evidence
from envpin.core.sizes import counted, verb
from envpin.diagnose.adapter_names import layer_of, of_base
from envpin.diagnose.axes import shape_text
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import SHOWN, places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.adapter_names import AdapterNames, Factor
    from envpin.diagnose.subject import CheckSubject

_PREFIX = "base_model.model."
_PLAIN = re.compile(r"[\w.]+")
_PAIRED = frozenset({"lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"})


def detect_declared(subject: CheckSubject) -> Iterator[Finding]:
    """Tensors that the config does not name, and names without tensors; for LoRA, whose every name is known."""
    names = subject.names
    if names is None or str(subject.adapter_config.get("peft_type")).upper() != "LORA" or not names.factors:
        return
    yield from _prefix(names, subject)
    yield from _adapter_name(names, subject)
    yield from _dora(names, subject)
    yield from _bias(names, subject)
    yield from _trained_biases(names, subject)
    yield from _tokens(subject)
    yield from _untargeted(names, subject)
    yield from _not_saved(names, subject)
    yield from _targets_without_factors(names, subject)


def _prefix(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """peft looks its tensors up by their whole names, which begin with `base_model.model.`, once."""
    wrapped = {*names.compiled, *names.wrapped}
    bare = [one.tensor for one in names.factors if one.tensor.name not in wrapped]
    lacking = [one for one in bare if not one.name.startswith(_PREFIX)]
    twice = [one for one in bare if one.name.startswith(f"{_PREFIX}{_PREFIX}")]
    fix: tuple[str, ...]
    if lacking:
        text = f"{_of_all(lacking, subject)} a name that does not begin with `{_PREFIX}`: peft reads none of them"
        fix = (f"put `{_PREFIX}` in front of their names, or save again with peft's `save_pretrained`",)
        yield _dropped(text, lacking, fix, subject)
    if twice:
        text = (
            f"{_of_all(twice, subject)} `{_PREFIX}` in front twice: an adapter was put on a model that had one, and "
            "peft reads none of them"
        )
        fix = (
            f"take one `{_PREFIX}` off their names, where the model below was the plain base",
            "next time unload or merge the first adapter before `get_peft_model`",
        )
        yield _dropped(text, twice, fix, subject)


def _adapter_name(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """`state_dict()` written as it is: `save_pretrained` leaves the adapter's name out, and loading puts one in.

    peft 0.12.0 with transformers 4 drops every such tensor, peft 0.21.2 with transformers 5 reads them.
    """
    named = [
        one.tensor
        for one in names.factors
        if one.kind in _PAIRED and re.search(r"\.lora_(?:embedding_)?[AB]\.[^.]+\.weight$", one.tensor.name)
    ]
    if not named:
        return
    text = (
        f"{_of_all(named, subject)} the adapter's name in it, which `save_pretrained` leaves out: peft under "
        "transformers 4 reads none of them"
    )
    fix = ("take the adapter's name out of their names: `.lora_A.default.weight` is `.lora_A.weight` in a saved file",)
    seen = _seen(named)
    severity: Severity = "blocker" if subject.below("transformers", "5.0") else "warning"
    yield finding("tensors-not-of-method", text, seen, severity=severity, fix=fix, names=places(subject))


def _dora(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    vectors = [one.tensor for one in names.factors if one.kind == "lora_magnitude_vector"]
    if not subject.adapter_config.get("use_dora"):
        if vectors:
            text = f"{_of_all(vectors, subject)} the name of DoRA's magnitudes, and `use_dora` is not set"
            yield _dropped(text, vectors, ("set `use_dora` to true, as training had it",), subject)
        return
    have = {one.module for one in names.factors if one.kind == "lora_magnitude_vector"}
    without = [one.tensor for one in names.factors if one.kind == "lora_B" and one.module not in have]
    if without:
        text = f"`use_dora` is set, and {counted(len(without), 'module')} {_have(without)} no `lora_magnitude_vector`"
        yield _missing(text, [Evidence(file=one.file, tensor=one.name) for one in without], subject)


def _bias(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    biases = [one.tensor for one in names.factors if one.kind == "lora_B" and one.leaf == "bias"]
    if bool(subject.adapter_config.get("lora_bias")) == bool(biases):
        return
    if biases:
        text = f"{_of_all(biases, subject)} the name of a bias of `lora_B`, and `lora_bias` is not set"
        yield _dropped(text, biases, ("set `lora_bias` to true, as training had it",), subject)
    else:
        text = "`lora_bias` is set, and no module has a bias of `lora_B`"
        yield _missing(text, [Evidence(file="adapter_config.json", found="lora_bias: true")], subject)


def _trained_biases(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """`bias` says that the base's biases were trained, and the file has none of them: peft before 0.21 looks for
    those of `lora_only` under a name that its wrapped modules do not have, and saves none, without a word."""
    trained = subject.adapter_config.get("bias") or "none"
    if trained == "none" or subject.expected is None or any(name.endswith("bias") for name in names.whole):
        return
    modules = {of_base(module) for module in names.modules}
    biases = [name for name in subject.expected.shapes if name.endswith(".bias")]
    lost = [name for name in biases if trained == "all" or name.removesuffix(".bias") in modules]
    if lost:
        text = f"`bias` is `{trained}`, the base has {counted(len(lost), 'such bias')}, and the file none"
        seen = [Evidence(file="adapter_config.json", found=f"bias: {trained}")]
        seen += [Evidence(tensor=name) for name in lost[: SHOWN - 1]]
        fix = ("train again with peft 0.21 or later: what the biases learnt is in no file, and a merge is without it",)
        yield finding("adapter-tensors-missing", text, seen, severity="warning", fix=fix, names=places(subject))


def _tokens(subject: CheckSubject) -> Iterator[Finding]:
    rows = [one for name, one in subject.folder.adapter_tensors.items() if "trainable_tokens_" in name]
    declared = subject.adapter_config.get("trainable_token_indices")
    if bool(declared) == bool(rows):
        return
    if rows:
        text = f"{_of_all(rows, subject)} an embedding's trained rows, and `trainable_token_indices` is not set"
        yield _dropped(text, rows, ("set `trainable_token_indices`, as training had it",), subject)
    else:
        seen = [Evidence(file="adapter_config.json", found=f"trainable_token_indices: {str(declared)[:80]}")]
        yield _missing("`trainable_token_indices` is set, and the file has no trained rows", seen, subject)


def _untargeted(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """Factors of modules that peft does not make by this config."""
    config = subject.adapter_config
    targets = _plain_names(config.get("target_modules"))
    if targets is None or config.get("target_parameters"):
        return
    excluded = _plain_names(config.get("exclude_modules")) or []
    layers = _layers(config)
    out = [one for one in names.factors if one.kind in _PAIRED and _is_left_out(one, targets, excluded, layers)]
    if not out:
        return
    by = "exclude_modules" if any(_ends_with(of_base(one.module), excluded) for one in out) else "target_modules"
    by = "layers_to_transform" if _ends_with(of_base(out[0].module), targets) and by == "target_modules" else by
    whole = counted(len(subject.folder.adapter_tensors), "tensor")
    text = f"{len(out)} of {whole} {verb(len(out), 'changes', 'change')} a module that `{by}` leaves out"
    fix = (f"put back the `{by}` that training used",)
    yield _dropped(text, [one.tensor for one in out], fix, subject)


def _is_left_out(factor: Factor, targets: list[str], excluded: list[str], layers: frozenset[int] | None) -> bool:
    if ".base_layer" in factor.module:  # what peft puts within a module that is named
        return False
    layer = layer_of(factor.module)
    return (
        not _ends_with(factor.module, targets)
        or _ends_with(factor.module, excluded)
        or (layers is not None and layer is not None and layer not in layers and _has_one_number(factor.module))
    )


def _has_one_number(module: str) -> bool:
    """peft takes the last number of a name for the layer; with one there is no doubt which."""
    return sum(map(str.isdigit, module.split("."))) == 1


def _layers(config: dict[str, object]) -> frozenset[int] | None:
    wanted = config.get("layers_to_transform")
    if config.get("layers_pattern"):
        return None
    if type(wanted) is int:
        return frozenset({wanted})
    whole = isinstance(wanted, list) and wanted and all(type(one) is int for one in wanted)
    return frozenset(wanted) if whole and isinstance(wanted, list) else None


def _not_saved(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """A module of `modules_to_save` that the base has, and of which the file holds nothing."""
    expected = subject.expected
    wanted = _plain_names(subject.adapter_config.get("modules_to_save"))
    if expected is None or not wanted:
        return
    tied = {"lm_head", "embed_tokens"} if text_flag(subject.base_config, "tie_word_embeddings") is True else set()
    lost = [
        module
        for module in wanted
        if module not in tied
        and any(_is_within(parameter, module) for parameter in expected.shapes)
        and not any(_is_within(parameter, module) for parameter in names.whole)
    ]
    if lost:
        text = f"`modules_to_save` names `{lost[0]}`, and the file holds nothing of it"
        yield _missing(text, [Evidence(file="adapter_config.json", found=f"modules_to_save: {one}") for one in lost],
                       subject)  # fmt: skip


def _targets_without_factors(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """A name of `target_modules` that the base has among the modules of the same layers, and no factor.

    Not looked at: names that a newer release gives to fused modules, and single experts, which it stacks.
    """
    expected = subject.expected
    targets = _plain_names(subject.adapter_config.get("target_modules"))
    if expected is None or not targets or expected.rules or subject.adapter_config.get("exclude_modules"):
        return
    modules = {of_base(module) for module in names.modules}
    stacks = {stack for module in modules if (stack := _stack(module)) is not None}
    beside = {
        name.removesuffix(".weight")
        for name in expected.shapes
        if name.endswith(".weight") and ".experts." not in name and _stack(name) in stacks
    }
    lost = [
        target
        for target in targets
        if not any(_ends_with(module, [target]) for module in modules)
        and any(_ends_with(module, [target]) for module in beside)
    ]
    if lost:
        text = f"`target_modules` names `{lost[0]}`, which the base has, and the file holds no factor of it"
        seen = [Evidence(file="adapter_config.json", found=f"target_modules: {one}") for one in lost]
        fix = (
            "take another checkpoint of the run, if training changed it",
            "if the factors were taken out on purpose, take the name out of `target_modules` too",
        )
        yield finding("adapter-tensors-missing", text, seen[:SHOWN], severity="warning", fix=fix,
                      names=places(subject))  # fmt: skip


def _stack(name: str) -> str | None:
    """What stands before the number of the layer."""
    number = layer_of(name)
    return None if number is None else name[: name.find(f".{number}.")]


def _is_within(parameter: str, module: str) -> bool:
    return f".{module}." in f".{parameter}"


def _ends_with(module: str, names: Iterable[str]) -> bool:
    return any(module == one or module.endswith(f".{one}") for one in names)


def _plain_names(value: object) -> list[str] | None:
    """The names of a list, where every one is plain."""
    if not isinstance(value, list) or not value:
        return None
    names = [one for one in value if isinstance(one, str) and _PLAIN.fullmatch(one)]
    return names if len(names) == len(value) else None


def _of_all(tensors: list[Tensor], subject: CheckSubject) -> str:
    whole = counted(len(subject.folder.adapter_tensors), "tensor")
    return f"{len(tensors)} of {whole} {_have(tensors)}"


def _have(tensors: list[Tensor]) -> str:
    return verb(len(tensors), "has", "have")


def _seen(tensors: list[Tensor]) -> list[Evidence]:
    return [Evidence(file=one.file, tensor=one.name, found=shape_text(one.shape)) for one in tensors[:SHOWN]]


def _dropped(text: str, tensors: list[Tensor], fix: tuple[str, ...], subject: CheckSubject) -> Finding:
    return finding("tensors-not-of-method", text, _seen(tensors), fix=fix, names=places(subject))


def _missing(text: str, seen: list[Evidence], subject: CheckSubject) -> Finding:
    return finding("adapter-tensors-missing", text, seen[:SHOWN], names=places(subject))
