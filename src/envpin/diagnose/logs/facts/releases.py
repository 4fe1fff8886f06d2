"""Which release of a package an answer speaks of: the one that the log states, or the newest that was read. Pure but
for collected data."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from envpin.diagnose.logs.facts.collected import read_collected
from envpin.matrix.stack import load_stack

_STATED = re.compile(
    r"(?im)(?:^|[\s`\"'*(|])(transformers|trl|peft|accelerate|vllm|unsloth(?:[-_]zoo)?|torch|deepspeed|ms[-_]swift|swift|"
    r"llama[-_]?factory|datasets|axolotl|bitsandbytes|sglang|mlx[-_]lm|liger[-_]kernel|tokenizers|diffusers)"
    r"`?(?: version)?(?:==|: ?| {2,}| )v?(\d+\.\d+(?:\.\w+)*)"
)
# What one package asks of another, in the order in which it tells most.
_TOLD = ("transformers", "trl", "peft", "torch", "vllm", "accelerate", "datasets", "tokenizers")


# Codes that blame a version, and whose releases they speak of where their words name no package.
BLAMES = {
    "config-needs-newer-transformers": "transformers", "config-needs-older-transformers": "transformers",
    "transformers-api-changed": "transformers", "adapter-needs-newer-peft": "peft", "adapter-needs-older-peft": "peft",
    "tokenizer-needs-newer": "tokenizers", "torch-too-old-for-bin": "torch", "library-api-changed": "",
    "numpy-abi": "numpy", "peft-transformers-incompatible": "peft", "rope-config-unreadable": "transformers",
}  # fmt: skip
_NAMED = re.compile(r"\d+\.\d+|< \d")
_PACKAGE = re.compile(
    r"(?i)\b(unsloth|trl|vllm[-_]ascend|vllm|sglang|llamafactory|ms-swift|swift|timm|numpy|transformers|peft|deepspeed|"
    r"accelerate|diffusers|datasets|mlx[-_]lm|huggingface[-_]hub|pydantic|tokenizers|lmdeploy|gptqmodel|optimum|axolotl|"
    r"sentence[-_]transformers|bitsandbytes|triton|torchao|mlx[-_]vlm|verl|openrlhf|liger[-_]kernel|gguf)(?:_zoo)?\b"
)

_WORD = re.compile(r"[A-Za-z][\w-]*")
_UPDATED = re.compile(r"pip install -U ([\w-]+)")


class _Newest(NamedTuple):
    version: str
    date: str
    requires: dict[str, str]


def stated_releases(text: str) -> dict[str, str]:
    """Package to release, as a log states them."""
    return {_plain(one[1]): one[2] for one in _STATED.finditer(text)}


def release_words(package: str, text: str) -> str | None:
    """What is known of the release: those that this log states, else the newest that was read and what it asks for."""
    stated = stated_releases(text)
    if stated:
        told = ", ".join(f"{name} {release}" for name, release in sorted(stated.items()))
        needs = _needs(package, stated[package]) if package in stated else {}
        return f"this log names {told}" + (f"; {_with_needs(package, needs)}" if needs else "")
    newest = _newest().get(package)
    if newest is None:
        return None
    return _with_needs(f"the newest that was read, {package} {newest.version} ({newest.date}),", newest.requires)


def asks_for(package: str) -> frozenset[str]:
    """The packages that the newest release that was read asks for."""
    newest = _newest().get(package)
    return frozenset() if newest is None else frozenset(newest.requires)


def with_release(code: str, words: str, fix: tuple[str, ...], context: str) -> str:
    """The words of an answer, with a release where the code blames one and neither they nor the steps name it.

    `context` is what stands around the line in the log, where releases may be stated.
    """
    if code not in BLAMES or _NAMED.search(" ".join((words, *fix))) is not None:
        return words
    told = next(filter(None, map(_UPDATED.search, fix)), None) or _PACKAGE.search(words)
    package = _plain(told[1]) if told is not None else BLAMES[code] or _known_in(words)
    released = release_words(package, context)
    return f"{words}; {released}" if released else words


def _known_in(words: str) -> str:
    """The first package in these words whose newest release was read, "" where there is none."""
    return next((name for one in _WORD.findall(words) if (name := _plain(one)) in _newest()), "")


def _with_needs(words: str, requires: dict[str, str]) -> str:
    told = [f"{name} {requires[name]}" for name in _TOLD if name in requires][:3]
    return f"{words} asks for {', '.join(told)}" if told else words.rstrip(",")


def _needs(package: str, version: str) -> dict[str, str]:
    tool = load_stack().tools.get(package)
    release = None if tool is None else tool.release(version)
    return {} if release is None else {**release.requires}


def _plain(name: str) -> str:
    name = name.lower().replace("_", "-")
    return {"swift": "ms-swift", "llama-factory": "llamafactory", "llamafactory": "llamafactory"}.get(name, name)


@cache
def _newest() -> dict[str, _Newest]:
    return read_collected("newest.json", dict[str, _Newest], most=200_000)
