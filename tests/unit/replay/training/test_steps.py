"""The first step at which two traces differ, and how the rows of a batch do."""

from __future__ import annotations

from typing import Any

import pytest

from envpin.replay.training.steps import first_apart, gaps, relative
from tests.support.training_runs import trace


def test_equal_traces_are_not_apart() -> None:
    assert first_apart(trace(), trace()) is None
    assert first_apart(trace(8), trace(20)) is None  # only what both have
    assert gaps(trace(), trace()).largest == 0.0


@pytest.mark.parametrize(
    ("changes", "step", "sign"),
    [
        ({"initial": "1" * 64, "loss": {1: 2.0}}, 0, "initial adapter"),
        ({"rows": {3: ("x", "3.1")}, "loss": {3: 1.1}}, 3, "batch"),
        ({"lr": 1.01, "loss": {2: 1.1}}, 1, "learning rate"),
        ({"loss": {4: 1.0000001}, "norm": {4: 2.0}}, 4, "loss"),
        ({"norm": {2: 1.5}, "loss": {3: 2.0}}, 2, "gradient norm"),
        ({"final": "9" * 64}, 12, "adapter"),
    ],
)
def test_the_first_sign_in_the_order_of_a_step_is_named(changes: dict[str, Any], step: int, sign: str) -> None:
    found = first_apart(trace(), trace(**changes))
    assert found is not None
    assert (found.step, found.sign) == (step, sign)


def test_a_prefix_is_compared_up_to_its_last_step() -> None:
    assert first_apart(trace(), trace(loss={9: 2.0}), steps=8) is None
    assert first_apart(trace(), trace(final="9" * 64), steps=12) is None


def test_rows_tell_a_changed_row_from_another_order_and_other_contents() -> None:
    every = range(1, 13)
    one = first_apart(trace(), trace(rows={5: ("5.0", "other")}))
    order = first_apart(trace(), trace(rows={n: (f"{13 - n}.1", f"{13 - n}.0") for n in every}))
    template = first_apart(trace(), trace(rows={n: (f"t{n}", f"u{n}") for n in every}))
    fewer = first_apart(trace(), trace(rows={n: (f"{n}.0",) for n in every}))
    found = [(apart.step, apart.rows, apart.changed) for apart in (one, order, template, fewer) if apart is not None]
    assert found == [(5, "content", 1), (1, "order", 2), (1, "all content", 2), (1, "number", 1)]


def test_relative_gaps_of_what_is_no_number_are_infinite() -> None:
    assert relative("nan", "nan") == 0.0
    assert relative("nan", 1.0) == float("inf")
    assert relative(None, 1.0) == 0.0
    assert relative(1.0, 1.1) == pytest.approx(0.1 / 1.1)
