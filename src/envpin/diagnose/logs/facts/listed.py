"""Models that a server or converter refuses by name: which of its releases lists them. Pure but for collected data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from envpin.core.command_text import command_text
from envpin.diagnose.logs.text.explained import Explained
from envpin.matrix.stack import load_stack
from envpin.matrix.support import load_support

if TYPE_CHECKING:
    from envpin.matrix.stack import Tool

LISTED_ANCHORS = ("not supported", "failed to be inspected", "unknown model architecture", "isn't supported yet",
                  "has no vLLM implementation", "has no SGlang implementation")  # fmt: skip


class _Refusal(NamedTuple):
    pattern: re.Pattern[str]
    # package on the index and kind of its registry, or what it is called, where releases have no numbers
    tools: tuple[tuple[str, str], ...]
    shown: str


_ARCHITECTURE = r"(\w+(?:ForCausalLM|ForConditionalGeneration|LMHeadModel|ForMaskedLM|ForSequenceClassification))"
_REFUSALS = (
    _Refusal(
        re.compile(
            r"Model architectures? \[?'?(\w+)'?[^\]]*\]? (?:are|is) not supported|"
            r"Model architectures \['(\w+)'[^\]]*\] failed to be inspected|(\w+) has no vLLM implementation"
        ),
        (("vllm", "architectures"), ("sglang", "architectures")),
        "the server",
    ),
    _Refusal(re.compile(r"(\w+) has no SGlang implementation"), (("sglang", "architectures"),), "SGLang"),
    _Refusal(
        re.compile(r"[Mm]odel type:? ['`]?([\w.-]+)['`]? (?:is )?not supported"), (("mlx-lm", "model_types"),), "mlx-lm"
    ),
    _Refusal(re.compile(r"unknown model architecture: '([\w-]+)'"), (("gguf", "gguf_architectures"),), "llama.cpp"),
    _Refusal(
        re.compile(rf"(?:Model|Architecture) ['\"]?{_ARCHITECTURE}['\"]? (?:is )?not supported"), (), "the converter"
    ),
    _Refusal(re.compile(r"\b([a-z][\w-]{2,40}) isn't supported yet"), (("gptqmodel", "model_types"),), "the quantizer"),
)
# What a log of a converter shows of it; other programs refuse models in the same words.
_CONVERTS = re.compile(r"(?i)convert|export|gguf|onnx|quanti[sz]")
# The same words as those of mlx-lm, of a package whose models no registry lists.
_VISION = re.compile(r"[Mm]odel type:? ['`]?([\w.-]+)['`]? (?:is )?not supported")
# Kinds of registries whose names are words that anything may have: only a name that some release lists counts.
_COMMON_WORDS = frozenset({"model_types"})


def explain_listed(line: str, around: str = "") -> Explained | None:
    """What a refusal of a model by its name says of releases; `around` are lines near it."""
    vision = _VISION.search(line) if "mlx_vlm" in around and "mlx_lm" not in around else None
    if vision is not None:
        says = (
            f"the mlx-vlm that ran does not know `{vision[1]}`: it is older than the model, or the name is of another"
        )
        newer = command_text("python", "-m", "pip", "install", "-U", "mlx-vlm")
        return Explained("library-api-changed", says, (f"take a newer one: {newer}",))
    for refusal in _REFUSALS:
        found = refusal.pattern.search(line)
        if refusal.shown == "the converter" and around and _CONVERTS.search(around) is None:
            continue
        if found is not None and _is_model(next(one for one in found.groups() if one), refusal):
            return _said(next(one for one in found.groups() if one), refusal)
    return None


def _is_model(name: str, refusal: _Refusal) -> bool:
    if not any(kind in _COMMON_WORDS for _, kind in refusal.tools):
        return True
    return load_support().window(name) is not None or any(
        _first(load_stack().tools.get(package), kind, name) is not None for package, kind in refusal.tools
    )


def _said(name: str, refusal: _Refusal) -> Explained:
    firsts = [told for package, kind in refusal.tools if (told := _first(load_stack().tools.get(package), kind, name))]
    if firsts:
        said = "; ".join(f"{package} lists `{name}` from {first} on" for package, first in firsts)
        steps = tuple(f"run with {package} ≥ {first}" for package, first in firsts)
        return Explained("serving-limit", f"{said}: the one that ran is older, or was not installed whole", steps)
    newest = [f"{package} up to {load_stack().tools[package].releases[-1].version}" for package, _ in refusal.tools]
    known = f"no release that was looked at lists it ({', '.join(newest)})" if newest else "it is older than the model"
    return Explained(
        "serving-limit",
        f"{refusal.shown} does not take `{name}`: {known}",
        (f"take a newer release of {refusal.shown}", "see what takes the model: envpin matrix resolve MODEL"),
    )


def _first(tool: Tool | None, kind: str, name: str) -> tuple[str, str] | None:
    if tool is None:
        return None
    listing = tool.listing(kind, (name,))
    return (tool.name, listing[0].version) if listing else None
