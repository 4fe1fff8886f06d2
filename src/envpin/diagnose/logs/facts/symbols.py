"""Whose a class or function is by its name, and which release gave or took one of its arguments. Pure.

`symbols.json` was read from wheels by `scripts/collect_raised.py`: names of two words and more that one package alone
defines, and the arguments and fields that changed between the releases that were read, four a year.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import msgspec

from envpin.diagnose.logs.facts.arguments import history
from envpin.diagnose.logs.facts.collected import read_collected

_OF_UNSLOTH = re.compile(r"^_?(?:Unsloth|Axolotl|Swift)(?=[A-Z])")
# What people call their own classes, whoever has one of that name as well.
_ANYBODYS = re.compile(r"(?:Custom|My|Our|Base|Simple|Multi|Weighted|Focal)[A-Z]\w*$")
# What projects call the classes that they derive from trl's.
_OF_TRL = re.compile(r"^(?!Ray)\w*?(?:SFT|DPO|PPO|KTO|ORPO|CPO|GRPO|RLOO|GKD|BCO|XPO)(?:[A-Z]\w*)?(?:Trainer|Config)$")
# Of those whose wheels were not read: names that grow from release to release.
_OF_CONVERTERS = {"GGUFWriter": "gguf", "GGUFReader": "gguf", "RayPPOTrainer": "verl"}
# Whose names scripts use and derive from, and no other field has.
_IN_SCRIPTS = frozenset({"trl", "peft", "accelerate", "unsloth", "unsloth-zoo", "qwen-vl-utils", "liger-kernel",
                         "llamafactory", "bitsandbytes", "gguf"})  # fmt: skip

# Of programs whose other names any program may have: those that speak of this field.
_PROGRAMS = frozenset({"verl", "openrlhf", "ms-swift", "lmdeploy"})
_OF_PROGRAMS = re.compile(
    r"PPO|GRPO|RLOO|RLHF|Rollout|Experience|Critic|Reward|LoRA|Lora|LLM|Megatron|FSDP|Qwen|InternVL|Ovis"
)
# Names of other packages that say themselves whose they are.
_OF_ONE = re.compile(r"(?:SentenceTransformer|CrossEncoder|SparseEncoder|SetFit|StableDiffusion)")


class _Facts(msgspec.Struct, frozen=True):
    names: dict[str, str]
    arguments: dict[str, dict[str, dict[str, tuple[str, ...]]]]
    read: dict[str, tuple[str, str, int]]


class History(NamedTuple):
    """Where an argument of a symbol came and went by turns; "" for the first release that was read."""

    package: str
    stays: tuple[str, ...]


def owner_of(name: str) -> str | None:
    """The package that defines a class or function, also under the names that Unsloth and the like derive from it."""
    if _ANYBODYS.match(name):
        return None
    plain = _OF_UNSLOTH.sub("", name)
    found = _owners().get(plain) or _owners().get(name) or _OF_CONVERTERS.get(name)
    return found or ("trl" if _OF_TRL.search(name) else None)


def used_in_scripts(package: str, name: str = "") -> bool:
    """Whether a name of this package speaks of it without a frame of it."""
    if package in _PROGRAMS and _OF_PROGRAMS.search(name) is not None:
        return True
    return package in _IN_SCRIPTS or _OF_ONE.match(name) is not None


def history_of(name: str, argument: str) -> History | None:
    """What is known of an argument or field; None where the symbol or its change is not."""
    package, plain = owner_of(name), _OF_UNSLOTH.sub("", name)
    stays = None if package is None else _facts().arguments.get(package, {}).get(plain, {}).get(argument)
    return None if package is None or stays is None else History(package, stays)


def in_words(name: str, argument: str) -> str | None:
    """The same as a sentence about releases."""
    since, last, of = history(name, argument)
    if of is not None:
        return (
            f"{of} {since} and newer have `{argument}` of `{name}`, older releases do not"
            if last is None
            else (f"`{argument}` of `{name}` went with {of} {last}; older ones had it")
        )
    found = history_of(name, argument)
    if found is None:
        return None
    package, stays = found
    came, gone = stays[-1 if len(stays) % 2 else -2], "" if len(stays) % 2 else stays[-1]
    if not gone:
        return f"{package} {came} and newer have `{argument}` of `{name}`, older releases do not"
    before = f"{came} and newer" if came else "older ones"
    return f"`{argument}` of `{name}` went with {package} {gone}; {before} had it"


@cache
def _owners() -> dict[str, str]:
    return {name: package for package, names in _facts().names.items() for name in names.split()}


@cache
def _facts() -> _Facts:
    return read_collected("symbols.json", _Facts, most=3_000_000)
