"""Embedding and head: which of a model's tensors they are, and whether a merged model may share one between them."""

from collections import Counter
from typing import Dict, Iterable, NamedTuple, Optional

from .changes import TensorChange

EMBEDDINGS = (
    "embed_tokens",
    "wte",
    "word_embeddings",
    "embed_in",
    "tok_embeddings",
    "embeddings",
    "embedding",
    "shared",
)
_HEAD_MODULES = {"cls", "lm_head", "classifier", "score", "qa_outputs", "pooler"}
HEADS = ("lm_head", "embed_out", "output_layer", "output")


class Tables(NamedTuple):
    """Names in the base: the input embedding, and the head; None where the base stores none."""

    embedding: Optional[str]
    head: Optional[str]


def find(names: Iterable[str]) -> Tables:
    held = list(names)
    return Tables(_best(held, EMBEDDINGS), _best(held, HEADS))


def is_head(key: str) -> bool:
    return key.endswith(".weight") and _module(key) in HEADS and _numberless(key)


def head_follows(change: Optional[TensorChange], config: Dict[str, object]) -> bool:
    """Whether the head of a model with tied tables goes with what the adapter does to its embedding. It does where the
    shared table was saved as a whole because the vocabulary grew, and where peft ties the trained rows; a copy that
    `modules_to_save` made, and a LoRA on the embedding, leave the head as it was (docs/adr/0031)."""
    if change is None or change.kind == "rows" or config.get("ensure_weight_tying"):
        return True
    saved = config.get("modules_to_save")
    named = isinstance(saved, list) and any(str(one).split(".")[-1] in EMBEDDINGS for one in saved)
    return change.kind == "whole" and not named


def belongs_to_a_head(name: str, base: Iterable[str], merged: Iterable[str]) -> bool:
    """Whether a tensor that the merged model lacks is of the head that its base was trained with: by its name, or
    because it begins with a word next to the one that holds nearly all (`bert`, `model`) of which nothing is left."""
    first = _first(name)
    if is_head(name) or first in _HEAD_MODULES:
        return True
    sizes = Counter(_first(one) for one in base if "." in one)
    backbone = max(sorted(sizes), key=lambda one: sizes[one]) if sizes else first
    # A backbone without a prefix: `layers.0…` next to `norm.weight`.
    is_list = any(one.startswith(backbone + ".") and one[len(backbone) + 1 :][:1].isdigit() for one in base)
    return first != backbone and not is_list and all(_first(one) != first for one in merged)


def _first(name: str) -> str:
    return name.split(".", 1)[0]


def _best(names: Iterable[str], modules: Iterable[str]) -> Optional[str]:
    wanted = list(modules)
    found = [name for name in names if name.endswith(".weight") and _module(name) in wanted and _numberless(name)]
    ranked = sorted(found, key=lambda name: (wanted.index(_module(name)), name.count("."), name))
    return ranked[0] if ranked else None


def _module(key: str) -> str:
    pieces = key.split(".")
    return pieces[-2] if len(pieces) > 1 else ""


def _numberless(key: str) -> bool:
    return not any(piece.isdigit() for piece in key.split("."))
