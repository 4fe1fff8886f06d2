"""Detectors on a model's config.json as transformers reads it: a type that there is, and values that it takes.

What each field takes was read from the config classes of the release that `layouts.json` names. Releases before 5.4 do
not look at the types of values: there a wrong one is an error of whatever code first computes with it, or is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.checkpoint.own_code import runs_own_code
from envpin.checkpoint.weights import has_model_weights
from envpin.core.command_text import command_text
from envpin.core.findings import Evidence
from envpin.core.sizes import counted
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import SHOWN, json_text, places, refused_values
from envpin.diagnose.layouts import activations, layout_of, ropes, types_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.layouts import Layout
    from envpin.diagnose.subject import CheckSubject

# The release whose config classes check their fields' types (`@strict` in models/llama/configuration_llama.py).
_STRICT_FROM = "5.4"
_DTYPES = frozenset({
    "float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float", "half", "double",
    "int8", "uint8", "int16", "int32", "int64",
})  # fmt: skip
# What transformers writes into every config, or into that of a language model.
_OF_TRANSFORMERS = frozenset(
    {"architectures", "transformers_version", "hidden_size", "num_hidden_layers", "vocab_size"}
)
# Loading writes them itself.
_OVERWRITTEN = frozenset({"architectures", "transformers_version"})
# What a kind of scaling computes with (transformers/modeling_rope_utils.py); `longrope` has other names in old configs.
_ROPE_NEEDS: dict[str, tuple[str, ...]] = {
    "linear": ("factor",), "dynamic": ("factor",), "yarn": ("factor",), "longrope": ("short_factor", "long_factor"),
    "llama3": ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"),
}  # fmt: skip


def detect_model_config(model: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    """Of the base or of the folder itself."""
    yield from _unloaded(model, subject)
    config = model.config
    if config is None or runs_own_code(model):
        return
    yield from _type(model, config, subject)
    yield from _values(config, subject)


def _unloaded(model: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    """Weights under names that only a person would take for the model's."""
    if model.kind != "model" or model.config is None or not model.weight_files or has_model_weights(model.names):
        return
    first = model.weight_files[0]
    text = f"`{model.path / first}` has no name that transformers loads weights from"
    fix: tuple[str, ...] = ("take the files by the names that `save_pretrained` wrote, with their index",)
    if len(model.weight_files) == 1:
        fix = (command_text("mv", model.path / first, model.path / "model.safetensors"),)
    seen = [Evidence(file=one, expected="model.safetensors") for one in model.weight_files[:SHOWN]]
    yield finding("missing-shard", text, seen, fix=fix, names=places(subject))


def _type(model: Checkpoint, config: Mapping[str, object], subject: CheckSubject) -> Iterator[Finding]:
    kind = config.get("model_type")
    seen = [Evidence(file="config.json", found=f"model_type: {json_text(kind)}")]
    if not isinstance(kind, str) or not kind:
        if config and not config.keys() & _OF_TRANSFORMERS:
            return  # of timm, diffusers and others, which have a config.json of their own
        text = (
            f"`{model.path / 'config.json'}` has no `model_type`: transformers 5 does not know what to load, and 4 "
            "guesses by the folder's name"
        )
        fix = ("take the config.json that `save_pretrained` wrote next to these weights",)
        guessed: Severity = "warning" if subject.below("transformers", "5.0") else "blocker"
        yield finding("corrupt-header", text, seen, severity=guessed, fix=fix, names=places(subject))
        return
    from envpin.matrix.support import load_support

    yield from _class(kind, config, subject)
    support = load_support()
    if support.window(kind) is not None:
        return
    like = next((one for one in support.model_types if one.lower() == kind.lower()), None)
    if like is not None:
        text = f"`model_type` is `{kind}`, and transformers looks for `{like}`, letter by letter"
        yield finding("corrupt-header", text, seen, fix=(f"write `{like}`",), names=places(subject))
        return
    text = (
        f"no release of transformers up to {support.newest()} knows the `model_type` `{kind[:60]}`, and the folder "
        "brings no code for it"
    )
    steps = (
        "if it is of a newer release: install that one",
        "if it is a class of another program (LLaVA's own, for one): load it with that",
        "else take the config.json of the base's own repository",
    )
    yield finding("config-needs-newer-transformers", text, seen, severity="warning", fix=steps, names=places(subject))


def _class(kind: str, config: Mapping[str, object], subject: CheckSubject) -> Iterator[Finding]:
    """Two fields that tell of different models. transformers goes by the type; who wrote the file, by the class."""
    classes = config.get("architectures")
    name = classes[0] if isinstance(classes, list) and classes else None
    types = types_of(name) if isinstance(name, str) else ()
    if not types or kind in types or kind.startswith(tuple(f"{one}_text" for one in types)):
        return  # the language model of several parts has a type of its own
    own = next((one for one in types if str(name).lower().startswith(one.replace("_", ""))), types[0])
    text = f"config.json says `{name}`, which is a model of type `{own}`, and `model_type` {kind}"
    seen = [Evidence(file="config.json", found=f"model_type: {kind}", expected=own)]
    fix = (f"write `{own}` as `model_type`, if the weights are those of a {own}",)
    yield finding("architecture-drift", text, seen, fix=fix, names=places(subject))


def _values(config: Mapping[str, object], subject: CheckSubject) -> Iterator[Finding]:
    """Values that no release takes are blockers; those that the types of 5.4 refuse, where such a one loads it."""
    always = dict(_in_any_release(config))
    strict = {name: why for name, why in _by_type(config).items() if name not in always}
    severity: Severity = "blocker" if subject.from_on("transformers", _STRICT_FROM) else "warning"
    if always:
        yield _refused(always, config, "blocker", subject)
    if strict and not subject.below("transformers", _STRICT_FROM):
        yield _refused(strict, config, severity, subject)


def _refused(
    wrong: Mapping[str, str], config: Mapping[str, object], severity: Severity, subject: CheckSubject
) -> Finding:
    more = f" (and {counted(len(wrong) - 1, 'more value')})" if len(wrong) > 1 else ""
    text = "`{name}` of config.json is {value}: {why}" + more
    return refused_values("config.json", wrong, config.get, subject, text=text, severity=severity)


def _in_any_release(config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    layout = layout_of(config)
    if layout is not None:
        yield from _sizes(layout, config)
        act, theta = config.get("hidden_act"), config.get("rope_theta", 1)
        if isinstance(act, str) and act not in activations():
            yield "hidden_act", "transformers has no such activation"
        if not isinstance(theta, int | float):
            yield "rope_theta", "transformers takes a number"
    for name in ("dtype", "torch_dtype"):
        value = config.get(name)
        if isinstance(value, str) and value.removeprefix("torch.") not in _DTYPES:
            yield name, "torch has no such dtype"
    yield from _quantization(config)
    yield from _rope(config)


def _sizes(layout: Layout, config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for usual, name, value in layout.sizes(config):
        if usual == "max_position_embeddings":
            continue  # most models compute with it nowhere
        may_be_null = "null" in layout.takes.get(layout.fields[usual], "null")
        if not (type(value) is int and value > 0) and not (value is None and may_be_null):
            yield name, "transformers takes a whole number above 0"


def _quantization(config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    quantized = config.get("quantization_config")
    if not isinstance(quantized, dict) or isinstance(config.get("quantization"), dict):  # mlx-lm writes it twice
        return
    if not quantized.keys() & {"quant_method", "load_in_4bit", "load_in_8bit"}:
        yield "quantization_config", "it does not say how (`quant_method`)"


def _rope(config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name in ("rope_scaling", "rope_parameters"):
        scaling = config.get(name)
        if scaling is None:
            continue
        if not isinstance(scaling, dict):
            yield name, "transformers takes an object or null"
            continue
        kind = scaling.get("rope_type", scaling.get("type"))
        if not isinstance(kind, str):
            continue  # one for each type of layer, or none
        if kind not in ropes():
            yield name, f"transformers has no `{kind[:40]}` scaling"
            continue
        lacking = [one for one in _ROPE_NEEDS.get(kind, ()) if one not in scaling]
        if lacking:
            yield name, f"`{kind}` needs `{'`, `'.join(lacking)}` too"


def _by_type(config: Mapping[str, object]) -> dict[str, str]:
    layout = layout_of(config)
    takes = {} if layout is None else layout.takes
    whole = {
        name: "transformers 5 makes models of floating-point numbers only"
        for name in ("dtype", "torch_dtype")
        if "int" in str(config.get(name))
    }
    return whole | {
        name: f"transformers {_STRICT_FROM} and newer take {kinds.replace('|', ' or ')} there"
        for name, kinds in takes.items()
        if name in config and name not in _OVERWRITTEN and _kind_of(config[name]) not in kinds.split("|")
    }


def _kind_of(value: object) -> str:
    words = {bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: "dict"}
    return "null" if value is None else words.get(type(value), "")
