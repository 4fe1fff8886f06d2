"""Which tensors of a base its merged model need not have."""

from __future__ import annotations

import pytest

from envpin.workers.prove.tables import belongs_to_a_head, find, is_embedding, is_head, shares

BACKBONE = [f"distilbert.transformer.layer.{number}.attention.q_lin.weight" for number in range(3)]
BASE = [*BACKBONE, "distilbert.embeddings.LayerNorm.weight", "vocab_transform.weight", "vocab_projector.bias"]


@pytest.mark.parametrize(
    ("name", "merged", "head"),
    [
        ("vocab_transform.weight", [*BACKBONE, "classifier.weight"], True),
        ("vocab_transform.weight", [*BACKBONE, "vocab_projector.bias"], True),
        ("vocab_transform.weight", [*BACKBONE, "vocab_transform.bias"], False),
        ("distilbert.embeddings.LayerNorm.weight", [*BACKBONE, "classifier.weight"], False),
        (BACKBONE[0], ["classifier.weight"], False),
        ("lm_head.weight", BACKBONE, True),
    ],
)
def test_a_head_is_what_lies_beside_the_backbone(name: str, merged: list[str], head: bool) -> None:
    assert belongs_to_a_head(name, BASE, merged) is head


def test_a_backbone_without_a_prefix_has_no_heads_beside_it() -> None:
    base = ["layers.0.a.weight", "layers.1.a.weight", "norm.weight", "embed_tokens.weight"]
    assert not belongs_to_a_head("norm.weight", base, base[:2])


@pytest.mark.parametrize(
    ("key", "head", "other"),
    [
        ("cls.predictions.decoder.weight", True, "bert.embeddings.word_embeddings.weight"),
        ("cls.predictions.decoder.bias", False, "cls.predictions.bias"),
        ("lm_head.decoder.bias", False, "lm_head.bias"),
        ("vocab_projector.weight", True, "bert.embeddings.word_embeddings.weight"),
        ("model.decoder.layers.0.fc1.weight", False, None),
        ("decoder.weight", False, None),
        ("lm_head.bias", False, None),
        ("lm_head.weight", True, "bert.embeddings.word_embeddings.weight"),
    ],
)
def test_what_a_head_for_masked_tokens_shares(key: str, head: bool, other: str | None) -> None:
    assert is_head(key) is head
    assert shares(key, "bert.embeddings.word_embeddings.weight") == other


def test_the_embedding_is_the_one_of_words() -> None:
    names = ["bert.embeddings.position_embeddings.weight", "bert.embeddings.word_embeddings.weight"]
    assert find(names) == (names[1], None)
    assert find([*names, "cls.predictions.decoder.weight"]).head == "cls.predictions.decoder.weight"


@pytest.mark.parametrize(
    ("key", "embedding"),
    [("encoder.embed_tokens.weight", True), ("shared.weight", True), ("lm_head.weight", False), ("wte.bias", False)],
)
def test_tables_of_words_are_known_by_name(key: str, embedding: bool) -> None:
    assert is_embedding(key) is embedding
