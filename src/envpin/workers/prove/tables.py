"""Embedding and head: which of a model's tensors they are, and whether a merged model may share one between them."""

from collections import Counter
from typing import Dict, Iterable, NamedTuple, Optional, Sequence

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
# BERT's and RoBERTa's heads for masked tokens end in a `decoder`, whose bias is the head's own.
HEADS = (
    "lm_head",
    "embed_out",
    "output_layer",
    "output",
    "predictions.decoder",
    "lm_head.decoder",
    "vocab_projector",
    "generator_lm_head",
)


class Tables(NamedTuple):
    """Names in the base: the input embedding, and the head; None where the base stores none."""

    embedding: Optional[str]
    head: Optional[str]


def find(names: Iterable[str]) -> Tables:
    held = list(names)
    return Tables(_best(held, EMBEDDINGS), _best(held, HEADS))


def is_head(key: str) -> bool:
    return key.endswith(".weight") and _rank(key, HEADS) is not None and _numberless(key)


def is_embedding(key: str) -> bool:
    return key.endswith(".weight") and _rank(key, EMBEDDINGS) is not None and _numberless(key)


def shares(key: str, embedding: Optional[str]) -> Optional[str]:
    """The tensor that a model keeps in place of this one of its head: `decoder.weight` is the embedding, `decoder.bias`
    the bias of the module around it."""
    module, _, kind = key.rpartition(".")
    if not is_head(module + ".weight"):
        return None
    if kind == "weight":
        return embedding
    return module.rpartition(".")[0] + "." + kind if module.endswith(".decoder") else None


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


def _best(names: Iterable[str], modules: Sequence[str]) -> Optional[str]:
    found = {name: _rank(name, modules) for name in names if name.endswith(".weight") and _numberless(name)}
    ranked = sorted((rank, name.count("."), name) for name, rank in found.items() if rank is not None)
    return ranked[0][2] if ranked else None


def _rank(key: str, modules: Sequence[str]) -> Optional[int]:
    """Which of the modules, by the end of their path, a tensor belongs to."""
    path = "." + key.rpartition(".")[0]
    return next((number for number, one in enumerate(modules) if path.endswith("." + one)), None)


def _numberless(key: str) -> bool:
    return not any(piece.isdigit() for piece in key.split("."))
