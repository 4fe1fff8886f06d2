"""Which of the releases that matter a family was run in."""

from __future__ import annotations

from envpin.matrix.covered import covered, edges
from envpin.matrix.load import load_matrix
from envpin.matrix.results import load_results
from envpin.matrix.support import load_support, shipped_path

MATRIX, SUPPORT = load_matrix(), load_support(shipped_path())
RUNS = load_results()
BY_FAMILY = {one.family: one for one in covered(MATRIX.families, RUNS.values(), SUPPORT)}


def test_edges_are_the_first_and_last_release_of_each_minor_that_was_not_yanked() -> None:
    found = edges(SUPPORT)
    assert found[:4] == ("4.40.0", "4.40.2", "4.41.0", "4.41.2")
    assert {"4.46.1", "4.52.1", "4.57.1", "4.57.6", "5.0.0", "5.10.1", "5.10.4", "5.24.0"} <= set(found)
    assert not {"4.46.0", "4.52.0", "4.57.0", "5.10.0"} & set(found), "they were yanked"
    assert len(found) == len(set(found))


def test_what_was_run_and_what_was_not_are_all_releases_that_know_the_family() -> None:
    one = BY_FAMILY["qwen3.5-moe"]
    assert {"5.23.0", "5.24.0"} <= set(one.run)
    assert "4.57.1" not in {*one.run, *one.missing}, "it does not know the type"
    assert sorted({*one.run} & {*one.missing}) == []
    assert set(BY_FAMILY["llama3.1"].run) >= {"4.43.0", "5.0.0", "5.24.0"} - {"4.43.0"}


def test_a_failed_load_is_a_run_and_a_load_alone_is_none() -> None:
    load = next(one for one in RUNS.values() if one.capability == "load" and one.outcome == "ok")
    assert all(not one.run for one in covered(MATRIX.families, [load], SUPPORT))
    merge = next(one for one in RUNS.values() if one.capability == "merge" and one.packages["transformers"] == "5.23.0")
    (one,) = covered(MATRIX.families, [merge], SUPPORT)
    assert one.run == ("5.23.0",)
