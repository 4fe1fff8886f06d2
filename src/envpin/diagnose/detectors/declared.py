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
from envpin.diagnose.adapter_names import of_base
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.looked_up import dropped, of_all
from envpin.diagnose.detectors.methods import kind_of
from envpin.diagnose.detectors.shapes import SHOWN, places
from envpin.diagnose.detectors.targets import plain_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.core.findings import Finding
    from envpin.diagnose.adapter_names import AdapterNames
    from envpin.diagnose.subject import CheckSubject

_PLAIN = re.compile(r"[\w.]+")
_PAIRED = frozenset({"lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"})


def detect_declared(subject: CheckSubject) -> Iterator[Finding]:
    """Tensors that the config does not name, and names without tensors; for LoRA, whose every name is known."""
    names = subject.names
    if names is None or kind_of(subject) != "LORA" or not names.factors:
        return
    yield from _dora(names, subject)
    yield from _bias(names, subject)
    yield from _trained_biases(names, subject)
    yield from _tokens(subject)
    yield from _not_saved(names, subject)


def _dora(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    vectors = [one.tensor for one in names.factors if one.kind == "lora_magnitude_vector"]
    if not subject.adapter_config.get("use_dora"):
        if vectors:
            text = f"{of_all(vectors, subject)} the name of DoRA's magnitudes, and `use_dora` is not set"
            yield dropped(text, vectors, ("set `use_dora` to true, as training had it",), subject)
        return
    have = {one.module for one in names.factors if one.kind == "lora_magnitude_vector"}
    without = [one.tensor for one in names.factors if one.kind == "lora_B" and one.module not in have]
    if without:
        lacking = f"{counted(len(without), 'module')} {verb(len(without), 'has', 'have')}"
        text = f"`use_dora` is set, and {lacking} no `lora_magnitude_vector`"
        yield _missing(text, [Evidence(file=one.file, tensor=one.name) for one in without], subject)


def _bias(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    biases = [one.tensor for one in names.factors if one.kind == "lora_B" and one.leaf == "bias"]
    if bool(subject.adapter_config.get("lora_bias")) == bool(biases):
        yield from _no_place_for_bias(names, subject) if biases else ()
        return
    if biases:
        text = f"{of_all(biases, subject)} the name of a bias of `lora_B`, and `lora_bias` is not set"
        yield dropped(text, biases, ("set `lora_bias` to true, as training had it",), subject)
    else:
        text = "`lora_bias` is set, and no module has a bias of `lora_B`"
        yield _missing(text, [Evidence(file="adapter_config.json", found="lora_bias: true")], subject)


def _no_place_for_bias(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """A trained bias is added to the base's, where there is one."""
    shapes = subject.expected.shapes if subject.expected is not None else {}
    held = [one for one in names.factors if one.kind == "lora_B" and one.leaf == "bias"]
    without = [
        one.tensor
        for one in held
        if f"{of_base(one.module)}.weight" in shapes and f"{of_base(one.module)}.bias" not in shapes
    ]
    if without:
        text = (
            f"`lora_bias` gave {counted(len(without), 'module')} a bias where the base has none: peft loads the "
            "adapter, and cannot merge it"
        )
        seen = [Evidence(file=one.file, tensor=one.name) for one in without[:SHOWN]]
        yield finding("method-cannot-merge", text, seen, names=places(subject))


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
        yield from _other_tokens(declared, rows, subject) if rows else ()
        return
    if rows:
        text = f"{of_all(rows, subject)} an embedding's trained rows, and `trainable_token_indices` is not set"
        yield dropped(text, rows, ("set `trainable_token_indices`, as training had it",), subject)
    else:
        seen = [Evidence(file="adapter_config.json", found=f"trainable_token_indices: {str(declared)[:80]}")]
        yield _missing("`trainable_token_indices` is set, and the file has no trained rows", seen, subject)


def _other_tokens(declared: object, rows: list[Tensor], subject: CheckSubject) -> Iterator[Finding]:
    """Indices that are not those of the trained rows: as many, of the same module, each a row of the table."""
    wanted = declared if isinstance(declared, dict) else {"": declared}
    has = max(subject.base_rows or 0, subject.folder.embedding_rows or 0)
    for module, indices in wanted.items():
        of_module = [one for one in rows if not module or f".{module}." in f".{one.name}"]
        if not isinstance(indices, list) or not all(type(one) is int for one in indices):
            continue
        said = f" of `{module}`" if module else ""
        beyond = [one for one in indices if one < 0 or (has and one >= has)]
        if not of_module:
            text = f"`trainable_token_indices` names rows{said}, and the file has none of them"
        elif beyond and subject.base_rows is not None:
            text = f"`trainable_token_indices` names row {beyond[0]}{said}, and the base has {counted(has, 'row')}"
        elif all(one.shape[:1] != (len(indices),) for one in of_module):
            count = of_module[0].shape[0] if of_module[0].shape else 0
            text = f"`trainable_token_indices` names {counted(len(indices), 'row')}{said}, and the file has {count}"
        else:
            continue
        seen = [Evidence(file="adapter_config.json", found=f"trainable_token_indices: {str(declared)[:80]}")]
        fix = ("put back the `trainable_token_indices` that training used",)
        yield finding("adapter-tensors-missing", text, seen, fix=fix, names=places(subject))


def _not_saved(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """A module of `modules_to_save` that the base has, and of which the file holds nothing."""
    expected = subject.expected
    wanted = plain_names(subject.adapter_config.get("modules_to_save"))
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


def _is_within(parameter: str, module: str) -> bool:
    return f".{module}." in f".{parameter}"


def _missing(text: str, seen: list[Evidence], subject: CheckSubject) -> Finding:
    return finding("adapter-tensors-missing", text, seen[:SHOWN], names=places(subject))
