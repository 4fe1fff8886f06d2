"""A sample of the changes of `benchmarks/planted.py`, planted in real runs: each is named with its step and cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.environments import pinned
from tests.support.scripts import script

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = (
    "seed 8", "data seed 3", "rows reversed", "rows swapped-6-13", "token of row 5", "rate 0.00505", "dropout 0.05",
    "bf16 autocast", "package lossy 1.3", "attention eager", "accumulation 2", "base q_proj", "template 0",
)  # fmt: skip
pytestmark = pytest.mark.xdist_group("planted")


PLANTED: Any = script("benchmarks/planted.py")
CHANGES = {one.name: one for one in PLANTED.planted()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    place = tmp_path_factory.mktemp("planted")
    python = str(pinned("qlora").python)
    PLANTED.make_inputs(place, python)
    made = PLANTED.Runs(place, python)
    yield made
    made.close()


def test_the_table_has_sixty_changes_of_every_kind() -> None:
    causes = {one.cause for one in CHANGES.values()}
    assert len(CHANGES) >= 60
    assert causes >= {"seed", "data order", "data", "learning rate", "dropout", "precision", "package", "attention",
                      "accumulation", "base weights", "chat template"}  # fmt: skip


def test_an_unchanged_run_is_identical(runs: Any) -> None:
    found = PLANTED.judge(runs.usual("usual"), runs.run("again", PLANTED.USUAL["usual"]))
    assert (found.verdict, found.adapter) == ("identical", "identical")


@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_change_is_named_with_its_first_step_and_cause(runs: Any, name: str) -> None:
    one = CHANGES[name]
    found, step = PLANTED.judged(one, runs)
    assert found.first is not None
    assert (found.verdict, found.first.step, found.cause) == ("diverged", step, one.cause)
