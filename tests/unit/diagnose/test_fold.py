"""Folding of differences: what is one pattern is one line, and nothing else is."""

from __future__ import annotations

import pytest

from envpin.diagnose.diff import Change
from envpin.diagnose.fold import VARIOUS, fold, ranges


def tensors(*names: str, before: str = "[2, 2]", after: str = "[3, 2]") -> list[Change]:
    return [Change("tensors", name, before, after) for name in names]


def test_fold_says_a_pattern_once_with_its_ranges() -> None:
    layers = [f"model.layers.{at}.mlp.experts.{expert}.up.weight" for at in (0, 1, 2, 5) for expert in (0, 1)]
    (one,) = fold(tensors(*layers))
    assert one.what == "model.layers.{0-2,5}.mlp.experts.{0-1}.up.weight"
    assert (one.number, one.before, one.after) == (8, "[2, 2]", "[3, 2]")


def test_fold_keeps_a_number_that_all_share() -> None:
    (one,) = fold(tensors("a.1.b.0.c", "a.1.b.1.c"))
    assert one.what == "a.1.b.{0-1}.c"


@pytest.mark.parametrize(
    "other",
    [
        Change("tensors", "a.1.w", "[9]", "[3, 2]"),
        Change("tensors", "a.1.w", "[2, 2]", None),
        Change("config", "a.1.w", "[2, 2]", "[3, 2]"),
        Change("tensors", "a.1.w", "[2, 2]", "[3, 2]", "a note"),
        Change("tensors", "b.1.w", "[2, 2]", "[3, 2]"),
        Change("tensors", "a1.w", "[2, 2]", "[3, 2]"),
    ],
)
def test_fold_keeps_apart_what_differs_in_anything_else(other: Change) -> None:
    folded = fold([*tensors("a.0.w"), other])
    assert [one.number for one in folded] == [1, 1]
    assert folded[1].what == other.what


def test_fold_takes_other_values_of_tensors_for_one_pattern() -> None:
    changes = [Change("contents", f"l.{at}.w", f"old{at}", f"new{at}", "other values") for at in range(3)]
    (one,) = fold(changes)
    assert (one.what, one.before, one.after, one.number) == ("l.{0-2}.w", VARIOUS, VARIOUS, 3)
    (alone,) = fold(changes[:1])
    assert (alone.what, alone.before, alone.after) == ("l.0.w", "old0", "new0")


def test_fold_keeps_names_that_only_a_stranger_gives() -> None:
    names = ["a\0b", "a\0b", f"l.{'9' * 5000}.w", f"l.{'9' * 5000}.w", "l.\u00b2.w", "l.\u00b2.w"]
    assert [(one.what, one.number) for one in fold(tensors(*names))] == [(name, 2) for name in names[::2]]


@pytest.mark.parametrize(("numbers", "text"), [([3], "3"), ([1, 0, 2], "0-2"), ([0, 2, 3, 9], "0,2-3,9"), ([], "")])
def test_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_the_sides_of_values_that_differ_in_each_are_left_to_the_note() -> None:
    both = [Change("contents", f"layers.{at}.weight", f"a{at}", f"b{at}", "other values") for at in range(2)]
    (folded,) = fold(both)
    assert folded.sides == ("", "")
    (single,) = fold(both[:1])
    assert single.sides == ("a0", "b0")
    (added,) = fold([Change("tokenizer", "<think>", None, "320", "added")])
    assert added.sides == ("–", "320")
