"""Which patterns of strangers are tried, and what they do not match."""

from __future__ import annotations

import pytest

from envpin.core.patterns import unmatched

NAME = "model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    "pattern",
    [
        "q_proj", r".*\.layers\.\d+\.(self_attn|mlp)\.(k_proj|v_proj)", r"^(?=.*visual).*(?:q|v)_proj.*", r"[*+]{3}x",
        r"\*\+\(", r"model\.layers\.\d{2}\..*",
    ],
)  # fmt: skip
def test_a_name_that_is_not_matched_whole_is_named(pattern: str) -> None:
    assert unmatched(pattern, [NAME]) == {NAME}


@pytest.mark.parametrize(
    "pattern", [r".*\.q_proj", r"model\.layers\.\d+\.self_attn\.(q|v)_proj", r"(?!.*visual).*q_proj"]
)
def test_a_name_that_is_matched_is_none_of_them(pattern: str) -> None:
    assert unmatched(pattern, [NAME]) == frozenset()


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+", r"(a|a)*b", r"(a*){50}b", r"(?:a*a*){9,}b", r".*.*.*.*.*x", r"(a)\1", r"(?P<x>a)(?P=x)",
        r"(a)(?(1)b|c)", "a" * 3_000, "(q_proj",
    ],
)  # fmt: skip
def test_a_pattern_that_may_take_long_or_is_none_is_not_tried(pattern: str) -> None:
    assert unmatched(pattern, ["a" * 60]) == frozenset()


def test_long_or_many_names_are_not_tried_with_what_takes_long() -> None:
    assert unmatched(r".*.*.*.*x", ["a" * 1_000]) == frozenset()
    assert unmatched(r".*.*.*.*x", [f"{'a' * 90}{number}" for number in range(100)]) == frozenset()
    assert len(unmatched(r".*x", [f"{'a' * 90}{number}" for number in range(100)])) == 100
