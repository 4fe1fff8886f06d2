"""The states of the heat map, and the page as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.core.resources import data_path
from envpin.matrix.load import load_matrix
from envpin.matrix.support import load_support
from envpin.report.matrix_cells import Cell, all_series, by_series, cells
from tests.support.heat_map import run

if TYPE_CHECKING:
    from envpin.matrix.results import EvidenceRun

SUPPORT = load_support()
MATRIX = load_matrix(data_path("compat_matrix.toml"))
LLAMA_31 = MATRIX.families["llama3.1"]


def cell(version: str, entries: list[EvidenceRun]) -> Cell:
    return cells(LLAMA_31, entries, MATRIX.breaks, SUPPORT)[version]


@pytest.mark.parametrize(
    ("outcomes", "state", "partly"),
    [
        ((), "static", False), (("ok",), "load", False), (("ok",) * 4, "train", False),
        (("ok",) * 6, "merge-verified", False),
        (("fail", "untestable"), "fails", False), (("timeout",), "fails", False), (("untestable",), "static", False),
        (("ok", "ok", "ok", "fail", "ok"), "load", True), (("ok",) * 5 + ("fail",), "train", True),
    ],
)  # fmt: skip
def test_runs_make_states(outcomes: tuple[str, ...], state: str, partly: bool) -> None:
    found = cell("4.43.1", run("4.43.1", *outcomes))
    assert (found.state, found.partly) == (state, partly)


def test_a_release_that_does_not_know_the_type() -> None:
    assert cell("4.27.4", []) == Cell(grade=None)
    assert cell("4.27.4", run("4.27.4", "fail")).state == "fails"


def test_the_better_of_two_environments_counts_and_the_failure_shows() -> None:
    found = cell("4.43.1", run("4.43.1", *["ok"] * 6) + run("4.43.1", "ok", "ok", "ok", "fail", peft="0.17.1"))
    assert (found.state, found.fails, found.partly) == ("merge-verified", "train", True)


def test_a_break_marks_what_knows_the_type() -> None:
    found = cells(LLAMA_31, [], MATRIX.breaks, SUPPORT)
    assert [found[version].broken for version in ("4.27.4", "4.28.0", "4.42.4", "4.43.0")] == [False, True, True, False]


def test_a_series_is_its_best_release_unless_one_was_seen_to_fail() -> None:
    series = by_series(cells(LLAMA_31, run("4.42.4", "fail") + run("4.43.1", *["ok"] * 6), MATRIX.breaks, SUPPORT))
    assert list(series) == all_series(SUPPORT)
    assert (series["4.42"].state, series["4.43"].state, series["4.44"].state) == ("fails", "merge-verified", "static")
    mixed = by_series(cells(LLAMA_31, run("4.43.0", "fail") + run("4.43.1", "ok"), MATRIX.breaks, SUPPORT))["4.43"]
    assert (mixed.state, mixed.partly) == ("load", True)
