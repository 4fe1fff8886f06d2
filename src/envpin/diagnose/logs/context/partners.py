"""With which other package, or with what rows, a library stopped in its own code: told by the file and the line. Pure.

transformers has one file for each package that it works with (`integrations/bitsandbytes.py`), and libraries that build
on it stop where they read its configs or caches.
"""

from __future__ import annotations

import re

from envpin.core.command_text import command_text
from envpin.diagnose.logs.facts.name_facts import TRAINING
from envpin.diagnose.logs.facts.releases import asks_for, release_words
from envpin.diagnose.logs.text.explained import Explained

_PLACE = re.compile(r"^(?:integrations|quantizers)[/\\](?:quantizer_)?(\w+?)(?:_\d+bit)?\.py$")
# Of those files, whose they are, as the index calls them.
_PARTNERS = {
    "bitsandbytes": "bitsandbytes", "bnb": "bitsandbytes", "awq": "autoawq", "deepspeed": "deepspeed", "eetq": "eetq",
    "hqq": "hqq", "quanto": "optimum-quanto", "aqlm": "aqlm", "torchao": "torchao", "gptq": "gptqmodel",
    "compressed_tensors": "compressed-tensors", "auto_round": "auto-round", "accelerate": "accelerate",
    "liger": "liger-kernel", "peft": "peft",
}  # fmt: skip
_CACHE = re.compile(r"past_key_values|\bcache\b|_cache\b")
_CONFIG = re.compile(r"\bconfig\.\w+")
_LOSSES = re.compile(r"[/\\]losses?[/\\]")
# Libraries that build on transformers, of those whose requirements were not read.
_BUILT = frozenset({
    "peft", "span-marker", "simpletransformers", "gliner", "FlagEmbedding", "llm2vec", "adapters", "colpali-engine",
    "autoawq", "auto-gptq", "pylate", "chronos", "lm-eval", "minicons",
})  # fmt: skip
_UNSLOTH = re.compile(r"(?i)unsloth")
# What from_pretrained does not know, it gives to the class of the model.
_MAKES_A_MODEL = re.compile(
    r"cls\(config, \*(?:model_)?args, \*\*(?:model_)?kwargs\)\s*(?:\n[ \t~^│|]*)*(?:\n[^\n]*)?\Z"
)
_OF_TIME = frozenset({"TypeError", "AttributeError"})


def builds_on_transformers(package: str) -> bool:
    """Whether a library calls transformers, as far as is known."""
    return package != "transformers" and (package in _BUILT or "transformers" in asks_for(package))


def of_partner(library: str, path: str, what: str, before: str) -> Explained | None:
    """What a stop in transformers' code for another package says of the two; `what` did not fit there."""
    place = _PLACE.match(path) if library == "transformers" else None
    partner = None if place is None else _PARTNERS.get(place[1])
    if partner is None:
        return None
    says = f"transformers' own code for {partner} (`{path}`) does not fit the {partner} that is installed ({what})"
    released = release_words(partner, before)
    code = "peft-transformers-incompatible" if partner == "peft" else "library-api-changed"
    newer = command_text("python", "-m", "pip", "install", "-U", "transformers")
    return Explained(code, f"{says}: they are of different times; {released}" if released else says, (
        f"run with the {partner} of the training run: envpin run ADAPTER -- CMD", f"or a newer transformers: {newer}",
    ))  # fmt: skip


def of_what_it_was_given(what: str, name: str, said: str, before: str) -> Explained | None:
    """A call of transformers to what another package put there, or to a model with an argument of the caller's."""
    if _UNSLOTH.search(what) is not None:
        newer = command_text("python", "-m", "pip", "install", "-U", "unsloth", "unsloth_zoo")
        says = f"unsloth put `{what}` into the Trainer of transformers, and this transformers calls it otherwise"
        stated = release_words("unsloth", before)
        return Explained("library-api-changed", f"{says}; {stated}" if stated else says, (
            f"take them of one time: {newer}", TRAINING,
        ))  # fmt: skip
    if "unexpected keyword" in said and _MAKES_A_MODEL.search(before) is not None:
        says = (
            f"from_pretrained was given `{name}`, which this transformers does not know and hands on to the model, and "
            "that does not take it either"
        )
        return Explained("transformers-api-changed", says, (
            f"leave out `{name}`, where it is misspelt or of another model's code",
            "or run with the transformers of the training run, where that takes it: envpin run ADAPTER -- CMD",
        ))  # fmt: skip
    return None


def of_onnx(exception: str, message: str, package: str, line: str) -> Explained | None:
    """A name that a library takes from onnx, by its own line, and that the installed onnx does not have."""
    name = re.match(
        r"(?:module '[\w.]+' has no attribute ')?(?P<name>[A-Za-z]\w{1,60})'?(?:$|\. Did you mean)", message
    )
    if exception != "AttributeError" or name is None or package == "onnx":
        return None
    if re.search(rf"\b(?:onnx\w*|TensorProto|AttributeProto|helper)\.(?:\w+\.)*{name['name']}\b", line) is None:
        return None
    says = f"{package} takes `{name['name']}` from onnx, and the onnx that is installed does not have it: it is older"
    newer = command_text("python", "-m", "pip", "install", "-U", "onnx")
    return Explained("library-api-changed", f"{says} than this {package} was made for", (
        newer, f"or take the {package} of the time of that onnx", TRAINING,
    ))  # fmt: skip


def of_columns(library: str, path: str, message: str) -> Explained | None:
    """A loss of sentence-transformers that takes another number of columns than the rows have."""
    if library != "sentence_transformers" or _LOSSES.search(f"/{path}") is None:
        return None
    loss = re.split(r"[/\\]", path)[-1].removesuffix(".py")
    says = f"`{loss}` takes the texts of a row as columns, and the rows have more or fewer ({message.strip('()')})"
    return Explained("data-not-as-expected", says, (
        "print the column names: the texts in the order in which the loss takes them, then `label` or `score`",
        "remove other columns, or take the loss that fits these: see the table of losses on sbert.net",
    ))  # fmt: skip


def of_transformers(exception: str, package: str, path: str, line: str, before: str) -> Explained | None:
    """A library that builds on transformers and stops at one of its configs or caches."""
    if not builds_on_transformers(package):
        return None
    cached = _CACHE.search(line) is not None
    if not (exception in _OF_TIME and (cached or _CONFIG.search(line) is not None)):
        return None
    what = "the cache" if cached else "a config"
    says = f"{package} stopped at {what} of transformers, in `{path}`: most likely the two are of different times"
    released = release_words(package, before)
    code = "peft-transformers-incompatible" if package == "peft" else "transformers-api-changed"
    newer = command_text("python", "-m", "pip", "install", "-U", package)
    return Explained(code, f"{says}; {released}" if released else says, (
        TRAINING, f"or a newer {package}: {newer}",
    ))  # fmt: skip
