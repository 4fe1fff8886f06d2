"""Templates of tensors: lengths that are computed, stacks, and parts of several kinds."""

from __future__ import annotations

import pytest

from envpin.diagnose.blocks import Lengths, UnknownCountError, stacks, unfolded

_VALUES = {"h": 12, "a": 4, "n": 2, "i": 28, "p": 14}


@pytest.mark.parametrize(
    ("text", "length"),
    [("7", 7), ("h", 12), ("2*h+1", 25), ("h//a*n", 6), ("i//p*i//p+1", 5), ("h+2*n*a", 28), ("x", None), ("?", None)],
)
def test_a_length_is_a_sum_of_products(text: str, length: int | None) -> None:
    assert Lengths(_VALUES).length(text) == length


def test_a_shape_has_a_length_for_each_axis() -> None:
    lengths = Lengths(_VALUES)
    assert (lengths.shape(""), lengths.shape("h,?,3")) == ((), (12, None, 3))


def test_a_stack_has_as_many_parts_as_a_value_says() -> None:
    block = {"norm": "h", "layers": ["n", [{"w": "h,h", "experts": ["a", [{"up": "h"}], None]}], None]}
    found = dict(unfolded(block, Lengths(_VALUES), {}))
    assert found["layers.1.w"] == (12, 12)
    assert "layers.1.experts.3.up" in found
    assert len(found) == 1 + 2 * 5
    assert dict(stacks(block, Lengths(_VALUES))) == {"layers.": 2}


def test_a_part_is_of_the_kind_that_the_files_come_closest_to() -> None:
    block = {"layers": ["a", [{"attention.q": "h", "attention.k": "h"}, {"mamba.a": "h", "mamba.b": "h"}], None]}
    held = {"layers.0.attention.q": (12,), "layers.1.mamba.a": (12,), "layers.2.mamba.b": (9,), "layers.2.x": (1,)}
    found = [name for name, _ in unfolded(block, Lengths(_VALUES), held)]
    assert found[:4] == ["layers.0.attention.q", "layers.0.attention.k", "layers.1.mamba.a", "layers.1.mamba.b"]


def test_the_first_part_may_have_more() -> None:
    block = {"block": ["n", [{"q": "h"}], {"q": "h", "bias": "a"}]}
    assert [name for name, _ in unfolded(block, Lengths(_VALUES), {})] == ["block.0.q", "block.0.bias", "block.1.q"]


@pytest.mark.parametrize("count", ["x", "1000000"])
def test_a_count_that_nothing_tells_or_nothing_has_is_refused(count: str) -> None:
    with pytest.raises(UnknownCountError):
        list(unfolded({"layers": [count, [{"w": "h"}], None]}, Lengths(_VALUES), {}))
