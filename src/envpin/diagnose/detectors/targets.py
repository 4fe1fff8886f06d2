"""Detectors that hold an adapter's modules against what its config targets: `target_modules`, `exclude_modules`,
`layers_to_transform`.

peft makes factors for the modules that these choose, and for no other: what the file has of others is dropped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.checkpoint.config import text_value
from envpin.core.findings import Evidence
from envpin.core.patterns import unmatched
from envpin.core.sizes import counted, verb
from envpin.diagnose.adapter_names import layer_of, of_base
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.looked_up import dropped
from envpin.diagnose.detectors.methods import kind_of
from envpin.diagnose.detectors.shapes import PAIRS, SHOWN, places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envpin.core.findings import Finding
    from envpin.diagnose.adapter_names import AdapterNames, Factor
    from envpin.diagnose.subject import CheckSubject

_PLAIN = re.compile(r"[\w.]+")
_ALL_LINEAR = "all-linear"


def detect_targets(subject: CheckSubject) -> Iterator[Finding]:
    """For LoRA, whose every name is known."""
    names = subject.names
    if names is None or kind_of(subject) != "LORA" or not names.factors:
        return
    yield from _unsaid(subject)
    yield from _untargeted(names, subject)
    yield from _not_of_the_pattern(names, subject)
    yield from _targets_without_factors(names, subject)


def _unsaid(subject: CheckSubject) -> Iterator[Finding]:
    """No targets: peft has a table of its own by the model's type (peft/utils/constants.py), which changes with it."""
    config = subject.adapter_config
    if not config or config.get("target_modules") is not None or config.get("target_parameters"):
        return
    text = (
        "`target_modules` is not set: peft takes those that it knows for the model's type, and reads no tensor of "
        "other modules; whether they are the file's was not compared"
    )
    seen = [Evidence(file="adapter_config.json", expected="target_modules")]
    fix = ("set `target_modules` to the modules that training changed, as `save_pretrained` writes them",)
    yield finding("tensors-not-of-method", text, seen, severity="warning", fix=fix, names=places(subject))


def _untargeted(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """Factors of modules that peft does not make by this config."""
    config = subject.adapter_config
    targets = plain_names(config.get("target_modules"))
    if targets is None or config.get("target_parameters"):
        return
    excluded = plain_names(config.get("exclude_modules")) or []
    layers = _layers(config)
    out = [one for one in names.factors if one.kind in PAIRS and _is_left_out(one, targets, excluded, layers)]
    if not out:
        return
    by = "exclude_modules" if any(_ends_with(of_base(one.module), excluded) for one in out) else "target_modules"
    by = "layers_to_transform" if _ends_with(of_base(out[0].module), targets) and by == "target_modules" else by
    whole = counted(len(subject.folder.adapter_tensors), "tensor")
    text = f"{len(out)} of {whole} {verb(len(out), 'changes', 'change')} a module that `{by}` leaves out"
    fix = (f"put back the `{by}` that training used",)
    yield dropped(text, [one.tensor for one in out], fix, subject)


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


def _not_of_the_pattern(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """A string is a regular expression for whole names: `q_proj|v_proj` is no name of any module."""
    targets = subject.adapter_config.get("target_modules")
    if not isinstance(targets, str) or targets == _ALL_LINEAR or subject.adapter_config.get("target_parameters"):
        return
    plain = [one for one in names.factors if ".base_layer" not in one.module]
    wrong = unmatched(targets, {one.module for one in plain if one.kind in PAIRS})
    out = [one.tensor for one in plain if one.module in wrong]
    if not out:
        return
    whole = counted(len(subject.folder.adapter_tensors), "tensor")
    text = (
        f"{len(out)} of {whole} {verb(len(out), 'changes', 'change')} a module that `target_modules` does not match: "
        f"as `{targets[:60]}` is no list, peft compares it with whole names, such as `{min(wrong)}`"
    )
    fix = ["put back the `target_modules` that training used"]
    if re.fullmatch(r"[\w|]+", targets):
        fix.append("names of modules are a list: " + str(targets.split("|")).replace("'", '"'))
    yield dropped(text, out, tuple(fix), subject)


def _targets_without_factors(names: AdapterNames, subject: CheckSubject) -> Iterator[Finding]:
    """A name of `target_modules` that the base has among the modules of the same layers, and no factor: of all of them,
    or of some.

    Not looked at: names that a newer release gives to fused modules, single experts, which it stacks, and layers whose
    keys and values are another layer's.
    """
    expected, config = subject.expected, subject.adapter_config
    targets = plain_names(config.get("target_modules"))
    if expected is None or not targets or expected.rules or config.get("exclude_modules"):
        return
    modules = {of_base(module) for module in names.modules}
    stacks = {stack for module in modules if (stack := _stack(module)) is not None}
    beside = {
        name.removesuffix(".weight")
        for name in expected.shapes
        if name.endswith(".weight") and ".experts." not in name and _stack(name) in stacks
    }
    factored = {target for target in targets if any(_ends_with(module, [target]) for module in modules)}
    lost = [one for one in targets if one not in factored and any(_ends_with(module, [one]) for module in beside)]
    fix = (
        "take another checkpoint of the run, if training changed it",
        "if the factors were taken out on purpose, take the name out of `target_modules` too",
    )
    if lost:
        text = f"`target_modules` names `{lost[0]}`, which the base has, and the file holds no factor of it"
        seen = [Evidence(file="adapter_config.json", found=f"target_modules: {one}") for one in lost]
        yield finding("adapter-tensors-missing", text, seen[:SHOWN], severity="warning", fix=fix,
                      names=places(subject))  # fmt: skip
        return
    some = [one for one in beside - modules if _ends_with(one, factored) and _is_to_be_changed(one, names, subject)]
    if some:
        text = (
            f"`target_modules` names {counted(len(some), 'module')} of which the file holds no factor, first "
            f"`{min(some)}`, and others of the same name have theirs: peft gives them fresh ones, which change nothing"
        )
        seen = [Evidence(tensor=one, expected="lora_A, lora_B") for one in sorted(some)[:SHOWN]]
        yield finding("adapter-tensors-missing", text, seen, severity="warning", fix=fix[:1], names=places(subject))


def _is_to_be_changed(module: str, names: AdapterNames, subject: CheckSubject) -> bool:
    """Whether a module lies in a layer that the adapter changes, so that its lack is no other finding's."""
    layer, wanted = layer_of(module), _layers(subject.adapter_config)
    shared = text_value(subject.base_config, "num_kv_shared_layers")
    return layer in names.layers and (wanted is None or layer in wanted) and not shared


def _stack(name: str) -> str | None:
    """What stands before the number of the layer."""
    number = layer_of(name)
    return None if number is None else name[: name.find(f".{number}.")]


def _ends_with(module: str, names: Iterable[str]) -> bool:
    return any(module == one or module.endswith(f".{one}") for one in names)


def plain_names(value: object) -> list[str] | None:
    """The names of a list, where every one is plain."""
    if not isinstance(value, list) or not value:
        return None
    names = [one for one in value if isinstance(one, str) and _PLAIN.fullmatch(one)]
    return names if len(names) == len(value) else None
