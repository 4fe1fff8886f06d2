"""The embedding table, row by row, and what holds for every triple of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envpin.checkpoint.embedding import plan_embedding


@pytest.mark.parametrize(
    ("sizes_of", "expected"),
    [
        ((32000, 32000, 32000), ("keep", 32000, None)),
        ((32000, 32001, 32001), ("grow", 32001, "vocab-grown")),
        ((32000, 32001, None), ("grow", 32001, "vocab-grown")),
        (
            (152064, 151665, 151665),
            ("overlay", 152064, "vocab-shrunk-padded"),
        ),  # Qwen 2.5 behind a trainer that resized
        ((32001, 32000, 32005), ("refuse", 32001, "vocab-mismatch")),
        ((32001, 32000, None), ("refuse", 32001, "vocab-mismatch")),
        ((152064, None, 151665), ("keep", 152064, None)),
        ((32000, None, None), ("keep", 32000, None)),
        ((32000, None, 32000), ("keep", 32000, None)),
        ((32000, None, 32001), ("refuse", 32000, "vocab-rows-not-saved")),
        # the padding trap: 321 tokens, and somebody padded on one side only
        ((320, 321, 321), ("grow", 321, "vocab-grown")),
        ((384, 321, 321), ("overlay", 384, "padding-mismatch")),
        ((320, 384, 321), ("grow", 384, "padding-mismatch")),
        ((384, 328, 321), ("refuse", 384, "padding-mismatch")),
        # both must be what padding gives: one such number by chance explains nothing
        ((330, 328, 321), ("refuse", 330, "vocab-mismatch")),
        ((384, 325, 321), ("refuse", 384, "vocab-mismatch")),
        ((384, 328, None), ("refuse", 384, "vocab-mismatch")),
        # a row for each token is no padding, though the number is a multiple of 64
        ((320, 384, 384), ("grow", 384, "vocab-grown")),
        ((320, 384, 385), ("grow", 384, "vocab-grown")),
        ((320, 321, 320), ("grow", 321, "vocab-grown")),
        ((320, 384, 0), ("grow", 384, "vocab-grown")),
    ],
)
def test_each_row(sizes_of: tuple[int, int | None, int | None], expected: tuple[str, int, str | None]) -> None:
    base, adapter, tokens = sizes_of
    plan = plan_embedding(base_rows=base, adapter_rows=adapter, tokenizer_length=tokens)
    assert (plan.action, plan.rows, plan.code) == expected


@pytest.mark.parametrize(
    ("tokens", "rows", "padded"),
    [
        (385, 392, True), (385, 400, True), (385, 416, True), (385, 448, True), (385, 512, True),  # 8, 16, 32, 64, 128
        (385, 386, False), (385, 388, False), (385, 393, False), (385, 408, False), (385, 640, False),  # 2, 4, …, 256
    ],
)  # fmt: skip
def test_padding_is_to_the_next_multiple_of_8_to_128(tokens: int, rows: int, *, padded: bool) -> None:
    plan = plan_embedding(base_rows=320, adapter_rows=rows, tokenizer_length=tokens)
    assert plan.code == ("padding-mismatch" if padded else "vocab-grown")


@pytest.mark.parametrize(
    ("sizes_of", "words"),
    [
        ((320, 320, None), "adapter and base have the same rows"),
        ((320, 321, None), "training grew the vocabulary from 320 to 321 rows"),
        ((320, 384, 321), "training grew the vocabulary from 320 to 384 rows (321 tokens, padded)"),
        ((320, None, 320), "the adapter carries no embedding, and the base has a row for every token"),
        ((320, None, 323), "the 3 rows of the new tokens were never saved"),
        ((384, 321, 321), "training kept 321 rows, one for each token, of a vocabulary padded to 384"),
        ((384, 328, 321), "321 tokens were padded to 328 rows in training, but to 384 in the base"),
        ((320, 300, None), "the adapter has 300 rows, the base 320, with no tokenizer to explain it"),
        ((320, 300, 310), "the adapter has 300 rows, the base 320, with 310 tokens"),
    ],
)
def test_each_row_says_why(sizes_of: tuple[int, int | None, int | None], words: str) -> None:
    base, adapter, tokens = sizes_of
    reason = plan_embedding(base_rows=base, adapter_rows=adapter, tokenizer_length=tokens).reason
    assert words in reason
    assert reason.startswith(("adapter and", "training", "the ", "321 tokens")), "the whole sentence"


sizes = st.integers(min_value=1, max_value=300_000)


@given(sizes, sizes | st.none(), sizes | st.none())
def test_trained_rows_are_never_dropped_and_padding_is_never_invented(
    base: int, adapter: int | None, tokens: int | None
) -> None:
    plan = plan_embedding(base_rows=base, adapter_rows=adapter, tokenizer_length=tokens)
    assert plan.rows in {base, adapter}
    if plan.action != "refuse":
        assert plan.rows == max(base, adapter or 0)
    assert (plan.code is None) == (plan.action == "keep")


@given(sizes, st.integers(min_value=1, max_value=400))
def test_grown_rows_are_the_adapters_own_however_the_tokenizer_reads(base: int, more: int) -> None:
    for tokens in (None, base, base + more, base + more + 64):
        plan = plan_embedding(base_rows=base, adapter_rows=base + more, tokenizer_length=tokens)
        assert (plan.action, plan.rows) == ("grow", base + more)
