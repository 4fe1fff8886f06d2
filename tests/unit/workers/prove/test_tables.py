"""Which tensors of a base its merged model need not have."""

from __future__ import annotations

import pytest

from envpin.workers.prove.tables import belongs_to_a_head

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
