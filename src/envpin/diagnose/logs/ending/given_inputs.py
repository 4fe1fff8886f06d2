"""What a library's or a model's code was given that it cannot work on: texts that are lists, a config without a field
that it reads, inputs that it asserts to fit. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.text.explained import Explained
from envpin.diagnose.logs.text.frames import last_code

if TYPE_CHECKING:
    from envpin.diagnose.logs.text.frames import Frame

_NO_TEXT = re.compile(
    r"'(?P<kind>list|dict|tuple|int|float|bytes)' object has no attribute '(?P<method>find|strip|lstrip|rstrip|lower|"
    r"upper|replace|split|startswith|endswith|encode|splitlines|removeprefix|join|format)'"
)
# Where a library reads texts: its tokenizers, processors and collators, also those that Unsloth puts in their place.
_READS_TEXT = re.compile(r"(?i)tokeniz|process|collat|chat_template|temporary_patches")
_KINDS = {"list": "lists", "dict": "objects", "tuple": "tuples", "int": "numbers", "float": "numbers", "bytes": "bytes"}
_FIELD = re.compile(r"\b(?:self\.)?(?:model_|text_)?config\[[\"'](?P<name>\w{1,60})[\"']\]")
# Fields that config.json has of one family of models and not of another.
_OF_A_MODEL = re.compile(
    r"_token_(?:id|index)$|_(?:config|size|dim|heads|layers|eps|theta|act)$|^(?:num|n|hidden|rope|norm|rms|vocab|d)_|"
    r"^(?:architectures|model_type|head_dim|tie_word_embeddings)$"
)
_CLASS_OF_A_FUNCTION = re.compile(
    r"'(?:function|builtin_function_or_method|method)' object has no attribute '(?P<name>[A-Z][a-z]?[A-Z]*\w*)'"
)
_MODELING = re.compile(r"(?:^|[/\\])(?:modeling|modelling)_\w+\.py$|(?:^|[/\\])models?[/\\]")
_SAME_SIZES = re.compile(r"assert\s+(?P<what>[^\n]{0,160}?(?:==|<=|>=|<|>)[^\n]{0,160})")
_OF_SIZES = re.compile(r"\.shape\b|\.size\(|\blen\(|\.sum\(\)|_len\b|\.numel\(|\.dim\(\)|\.ndim\b|seq_?len|batch_size")


def of_given_inputs(exception: str, message: str, package: str, before: str, place: Frame) -> Explained | None:
    """What a library was given, by its last line of code."""
    code = "\n".join(last_code(before))
    if exception == "AttributeError":
        return _of_texts(message, package, place) or _of_a_function(message, package, before)
    return _of_a_field(message, package, code) if exception == "KeyError" else None


def of_asserted_sizes(exception: str, message: str, before: str, frames: list[Frame]) -> Explained | None:
    """A bare assertion about sizes, in the `forward` of a model's own code."""
    if exception != "AssertionError" or message.strip() or not frames or _MODELING.search(frames[-1].path) is None:
        return None
    if "forward" not in frames[-1].function:
        return None
    found = _SAME_SIZES.search("\n".join(last_code(before)))
    if found is None or _OF_SIZES.search(found["what"]) is None:
        return None
    file = re.split(r"[/\\]", frames[-1].path)[-1]
    says = f"the model's code (`{file}`) wants `{found['what'].strip()}` of what it is fed, and that does not hold"
    return Explained("inputs-do-not-fit", says, (
        "print the shapes that the model is given: {name: tensor.shape for name, tensor in batch.items()}",
        "try one sample in a batch: where that runs, this code takes no batches, or they are padded wrongly",
    ))  # fmt: skip


def _of_texts(message: str, package: str, place: Frame) -> Explained | None:
    found = _NO_TEXT.search(message)
    if found is None or _READS_TEXT.search(f"{place.path}:{place.function}") is None:
        return None
    kinds = _KINDS[found["kind"]]
    says = f"{package} was given {kinds} where it reads texts (`.{found['method']}`, in `{place.path}`)"
    if found["kind"] == "list":
        says = f"{says}: token ids of a text that was tokenized before, or messages without a chat template"
    return Explained("data-not-as-expected", says, (
        "give it strings: tokenizer.apply_chat_template(messages, tokenize=False), or the column that holds the text",
        "print what it is given: type(x), x[0]",
    ))  # fmt: skip


def _of_a_field(message: str, package: str, code: str) -> Explained | None:
    key = message.strip().strip("'\"")
    asked = [found["name"] for found in _FIELD.finditer(code)]
    if key not in asked or _OF_A_MODEL.search(key) is None:
        return None
    says = (
        f"{package} reads `{key}` of the model's config.json, and this one has none: it was written for models of "
        "another family, or of the time before this one called it otherwise"
    )
    newer = command_text("python", "-m", "pip", "install", "-U", package)
    return Explained("model-of-another-kind", says, (
        f"take a {package} that knows this model: {newer}", "or a model of a family that it trains: see its page",
        f"see how this config calls it: grep -n {key.rpartition('_')[0] or key} MODEL/config.json",
    ))  # fmt: skip


def _of_a_function(message: str, package: str, before: str) -> Explained | None:
    found = _CLASS_OF_A_FUNCTION.search(message)
    if found is None:
        return None
    of_torch = re.search(r"(?i)fsdp|fully_shard|torch\.distributed|DTensor", f"{found['name']} {before[-1_500:]}")
    other = "the torch" if of_torch is not None else "the package"
    says = (
        f"{package} takes for a module, with a class `{found['name']}`, what is a function in {other} that is "
        "installed: the two are of different times"
    )
    which = "torch" if of_torch is not None else "that package"
    return Explained("library-api-changed", says, (
        f"take the {which} that this {package} asks for: its requirements; python -m pip check", TRAINING,
    ))  # fmt: skip
