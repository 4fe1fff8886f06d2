"""Detectors on names and shapes: does each factor of the adapter belong to a module of the base, and fit it?"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from envpin.core.findings import Evidence
from envpin.core.sizes import counted, verb
from envpin.diagnose.adapter_names import is_fused_experts, layer_of
from envpin.diagnose.axes import differing, shape_text, widths_text
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.comparison import Mismatch
from envpin.diagnose.renames import collected_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from envpin.checkpoint.formats.safetensors import Tensor
    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.adapter_names import AdapterNames, Factor
    from envpin.diagnose.comparison import Comparison
    from envpin.diagnose.expected import ExpectedShapes
    from envpin.diagnose.subject import CheckSubject

PAIRS = {"lora_A": "lora_B", "lora_B": "lora_A",
          "lora_embedding_A": "lora_embedding_B", "lora_embedding_B": "lora_embedding_A"}  # fmt: skip
_META = frozenset("^$*+?[](){}|\\")
# Tensors named as evidence: three show the pattern, and 560 would hide it.
SHOWN = 3


def detect_names(subject: CheckSubject) -> Iterator[Finding]:
    """Faults that the adapter's own file shows, without a base."""
    names = subject.names
    if names is None:
        return
    if names.compiled:
        yield finding("compile-prefix", f"{counted(len(names.compiled), 'tensor')} saved under `_orig_mod.`",
                      _samples(names.compiled, subject), names=places(subject))  # fmt: skip
    if names.wrapped:
        yield finding("fsdp-prefix", f"{counted(len(names.wrapped), 'tensor')} saved with the names of a wrapper",
                      _samples(names.wrapped, subject), names=places(subject))  # fmt: skip
    empty = [tensor for tensor in subject.folder.adapter_tensors.values() if 0 in tensor.shape]
    if empty:
        count = len(subject.folder.adapter_tensors)
        text = (
            f"{len(empty)} of {counted(count, 'tensor')} {verb(len(empty), 'is', 'are')} empty: ZeRO-3 kept "
            "their values in its shards"
        )
        yield finding("empty-tensors-zero3", text, seen_of(empty), names=places(subject))
    present = {(factor.module, factor.kind) for factor in names.factors}
    alone = [one for one in names.factors if one.kind in PAIRS and (one.module, PAIRS[one.kind]) not in present]
    if alone:
        text = f"{counted(len(alone), 'factor')} without a pair"
        seen = [
            Evidence(file=one.tensor.file, tensor=one.tensor.name, expected=PAIRS[one.kind]) for one in alone[:SHOWN]
        ]
        yield finding("unpaired-lora", text, seen, names=places(subject))
    yield from _ranks(names, subject)


def _is_in_blocks(subject: CheckSubject) -> bool:
    """BD-LoRA: one factor of each pair holds the blocks of a diagonal, and is as narrow as one of them."""
    return bool(subject.adapter_config.get("use_bdlora"))


def _ranks(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    if _is_in_blocks(subject):
        return
    allowed = [(one, _allowed_ranks(one.module, subject.adapter_config)) for one in names.factors if _is_plain(one)]
    wrong = [(one, ranks) for one, ranks in allowed if ranks and rank_of(one) not in ranks]
    if not wrong:
        return
    factor, ranks = wrong[0]
    expected = " or ".join(str(rank) for rank in sorted(ranks))
    said = "r" in subject.adapter_config or subject.adapter_config.get("rank_pattern")
    says = "says" if said else "has no `r`: peft takes"
    text = f"{counted(len(wrong), 'factor')} of rank {rank_of(factor)}, adapter_config.json {says} {expected}"
    seen = [Evidence(file=one.tensor.file, tensor=one.tensor.name, found=shape_text(one.tensor.shape),
                     expected=f"rank {expected}") for one, _ in wrong[:SHOWN]]  # fmt: skip
    real = _common_rank([one for one, _ in wrong])
    if real is None:
        text += ", and the two factors of a module do not agree: a slice of a sharded save, or two runs mixed"
        fix = ("save again with the whole state gathered (FSDP: FULL_STATE_DICT), or take another checkpoint",)
        yield finding("rank-mismatch", text, seen, fix=fix, names=places(subject))
        return
    patterned: tuple[str, ...] | None = None
    if subject.adapter_config.get("rank_pattern") and ranks != {subject.adapter_config.get("r")}:
        patterned = (
            "take config and weights of the same checkpoint",
            f"only if nothing else changed: set it to {real} in `rank_pattern`, which gives these modules their rank",
        )
    yield finding("rank-mismatch", text, seen, fix=patterned, names=places(subject) | {"rank": str(real)})


def _common_rank(wrong: list[Factor]) -> int | None:
    """The most frequent rank, where both factors of each module have the same; None where any two differ."""
    by_module: dict[str, list[Factor]] = {}
    for one in wrong:
        by_module.setdefault(one.module, []).append(one)
    if any({rank_of(one) for one in pair} != {rank_of(pair[0])} or len(pair) < 2 for pair in by_module.values()):
        return None
    return Counter(rank_of(one) for one in wrong).most_common(1)[0][0]


def rank_of(factor: Factor) -> int:
    """The rank that a factor's shape shows."""
    shape = factor.tensor.shape
    return shape[0] if factor.kind in {"lora_A", "lora_embedding_A"} else shape[1]


def _is_plain(factor: Factor) -> bool:
    """A factor whose shape shows its rank: fused experts stack one pair for each expert along it, or before it."""
    shape = factor.tensor.shape
    fused = is_fused_experts(factor.module) or (len(shape) == 3 and "expert" in factor.module)
    return factor.kind in PAIRS and factor.leaf == "weight" and len(shape) >= 2 and 0 not in shape and not fused


# What LoraConfig has where the file says nothing.
_USUAL_RANK = 8


def _allowed_ranks(module: str, config: dict[str, object]) -> set[int]:
    """The ranks that the config allows for a module.

    The keys of `rank_pattern` are regular expressions of a stranger, which can take for ever to match: only plain names
    are compared, and with any other key every rank of the pattern is allowed.
    """
    usual = _USUAL_RANK if "peft_type" in config else None  # a file that cannot be read has no fields, either
    default, pattern = config.get("r", usual), config.get("rank_pattern") or {}
    if str(config.get("peft_type")).upper() == "ADALORA":
        # Which of `init_r` ranks are left is for masks in `rank_pattern`; `r` is a field of LoRA's that it never reads.
        default, pattern = config.get("init_r"), {}
        if config.get("rank_pattern"):
            return set()
    allowed = {default} if type(default) is int else set()
    if not isinstance(pattern, dict):
        return allowed
    for key, rank in pattern.items():
        if type(rank) is not int:
            continue
        if module == key or module.endswith(f".{key}"):
            return {rank}
        if set(key) & _META:
            allowed.add(rank)
    return allowed


def detect_fit(subject: CheckSubject, mismatches: list[Mismatch]) -> Iterator[Finding]:
    """Compare with the base, and add every tensor that does not fit to `mismatches`."""
    compared = subject.comparison
    if compared is None or (compared.names.modules and not compared.modules):
        return
    names, expected, homeless = compared.names, compared.expected, compared.homeless
    if len(homeless) == len(compared.modules):
        text = f"none of the {counted(len(names.modules), 'module')} that the adapter changes is in the base"
        yield _homeless("wrong-base-architecture", text, homeless, subject)
        return
    if not subject.adapter_config.get("layer_replication"):  # copies of layers are explained by their own finding
        yield from _layers(names, expected, homeless, subject)
    last = expected.last_layer
    other = [module for module in homeless if last is None or (layer_of(module) or 0) <= last]
    if other:
        text = (
            f"{len(other)} of {counted(len(names.modules), 'module')} {verb(len(other), 'is', 'are')} not in the base"
        )
        yield _homeless("unmatched-adapter-keys", text, other, subject)
    yield from _widths(compared, subject, mismatches)
    for parameter, tensor in names.whole.items():
        shape = expected.shape_of(parameter)
        if shape is not None and shape != tensor.shape:
            mismatches.append(
                Mismatch(parameter=parameter, found=tensor.shape, expected=shape, why=_why(shape, tensor))
            )


def _homeless(code: str, text: str, modules: list[str], subject: CheckSubject) -> Finding:
    """A blocker, but for a release of transformers whose names of modules are not known here: that one has to tell."""
    unread = subject.unread_transformers
    if unread is not None:
        text += f", or transformers {unread} calls it otherwise: envpin knows the names up to {collected_from()}"
    severity: Severity | None = None if unread is None else "warning"
    return finding(code, text, _module_samples(modules, subject), names=places(subject), severity=severity)


def _layers(
    names: AdapterNames, expected: ExpectedShapes, homeless: list[str], subject: CheckSubject
) -> Iterator[Finding]:
    last, trained = expected.last_layer, max(names.layers, default=None)
    if last is None or trained is None:
        return
    if trained > last:
        text = f"the adapter has layers up to {trained}, the base up to {last}"
        beyond = [module for module in homeless if (layer_of(module) or 0) > last]
        yield finding("wrong-base-layers", text, _module_samples(beyond, subject), names=places(subject))
        return
    config = subject.adapter_config
    targets = config.get("target_modules")
    everywhere = targets == "all-linear" or (
        isinstance(targets, list) and not any(isinstance(one, str) and layer_of(one) is not None for one in targets)
    )
    if (
        trained < last
        and everywhere
        and config.get("layers_to_transform") is None
        and not config.get("exclude_modules")
    ):
        text = f"the adapter was to change every layer, and has layers up to {trained}; the base has them up to {last}"
        seen = [Evidence(file="adapter_config.json", note=f"target_modules: {str(targets)[:200]}")]
        yield finding("wrong-base-layers", text, seen, names=places(subject))


def _widths(compared: Comparison, subject: CheckSubject, mismatches: list[Mismatch]) -> Iterator[Finding]:
    if _is_in_blocks(subject):
        return
    wrong, swapped = compared.widths
    mismatches += wrong + swapped
    if swapped and not wrong:
        text = f"in and out are swapped in {counted(len(swapped), 'factor')}, as fused experts store them"
        yield finding("moe-layout", text, _shapes(swapped, subject), names=places(subject))
    elif wrong:
        parameters = {one.parameter for one in wrong}
        held = (*compared.names.factors, *compared.names.other)
        modules = {one.module for one in held if one.tensor.name in parameters}
        text = (
            f"{counted(len(wrong), 'factor')} of {counted(len(modules), 'module')} "
            f"{verb(len(wrong), 'has', 'have')} another width than the base's modules: {_sizes(wrong)}"
        )
        yield finding("wrong-base-hidden-size", text, _shapes(wrong, subject), names=places(subject))


def _sizes(wrong: list[Mismatch]) -> str:
    return widths_text(width for one in wrong for width in differing(one.parameter, one.found, one.expected))


def _why(shape: tuple[int, ...], tensor: Tensor) -> str:
    if 0 in tensor.shape:
        return "empty: ZeRO-3 did not gather it"
    return ", ".join(one.what for one in differing(tensor.name, tensor.shape, shape)) or "another base"


def places(subject: CheckSubject) -> dict[str, str]:
    """What fills the catalogue's fixes."""
    found = {"adapter": str(subject.folder.path), "model": str(subject.folder.path)}
    if subject.base is not None:
        found["base"] = str(subject.base.path)
    return found


def seen_of(tensors: list[Tensor], expected: str | None = None) -> list[Evidence]:
    """The first tensors as evidence, with their shapes."""
    return [
        Evidence(file=one.file, tensor=one.name, found=shape_text(one.shape), expected=expected)
        for one in tensors[:SHOWN]
    ]


def json_text(value: object) -> str:
    """A value of a config as it stands there, its beginning."""
    return json.dumps(value, default=str)[:80]


def refused_values(
    file: str,
    wrong: Mapping[str, str],
    value_of: Callable[[str], object],
    subject: CheckSubject,
    *,
    text: str,
    severity: Severity | None = None,
    owner: str = "`save_pretrained` wrote",
) -> Finding:
    """Values of a config that the library which reads it does not take, with why by their fields; the first is named.

    `text` has the places `{name}`, `{value}` and `{why}`.
    """
    name, why = next(iter(wrong.items()))
    seen = [Evidence(file=file, found=f"{one}: {json_text(value_of(one))}", note=said) for one, said in wrong.items()]
    said = text.format(name=name, value=json_text(value_of(name)), why=why)
    fix = (f"put back the `{name}` that {owner}",)
    return finding("corrupt-header", said, seen[:SHOWN], severity=severity, fix=fix, names=places(subject))


def _samples(names: Iterable[str], subject: CheckSubject) -> list[Evidence]:
    file = next(iter(subject.folder.weight_files), None)
    return [Evidence(file=file, tensor=name) for name in list(names)[:SHOWN]]


def _module_samples(modules: list[str], subject: CheckSubject) -> list[Evidence]:
    file = next(iter(subject.folder.weight_files), None)
    return [Evidence(file=file, tensor=module, note="not in the base") for module in modules[:SHOWN]]


def _shapes(found: list[Mismatch], subject: CheckSubject) -> list[Evidence]:
    file = next(iter(subject.folder.weight_files), None)
    return [Evidence(file=file, tensor=one.parameter, found=shape_text(one.found), expected=shape_text(one.expected))
            for one in found[:SHOWN]]  # fmt: skip
