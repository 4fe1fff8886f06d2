"""Breaks that follow from runs: where adapters stop working, in which direction, and what was not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from envpin.core.resources import data_path
from envpin.evidence.computed import PREFIX, computed_breaks, recomputed, without_computed
from envpin.evidence.lint import lint
from envpin.evidence.refuted import refuted_statements
from envpin.matrix.load import load_matrix
from envpin.matrix.results import EvidenceRun, evidence_path, load_results
from envpin.matrix.support import load_support, shipped_path

if TYPE_CHECKING:
    from envpin.matrix.results import Capability, Outcome
    from envpin.matrix.types import Break, Matrix

MATRIX, SUPPORT = load_matrix(data_path("compat_matrix.toml")), load_support(shipped_path())
EVIDENCE = load_results(evidence_path(None))
PLAIN = without_computed(MATRIX)
LOST = "AdapterDoesNothingError: the adapter was loaded without an error and changes nothing"


def run(
    version: str,
    capability: Capability = "merge",
    outcome: Outcome = "ok",
    *,
    trained: str | None = None,
    error: str = "",
    family: str = "seed-oss",
) -> EvidenceRun:
    return EvidenceRun(
        family=family, capability=capability, packages={"transformers": version, "peft": "0.21.2"}, python="3.11",
        outcome=outcome, date="2026-11-29", platform="linux-x86_64", tool="envpin", error=error,
        trained_with={"transformers": trained, "peft": "0.21.2"} if trained else {},
    )  # fmt: skip


def crossing(trained: str, version: str, outcome: Outcome = "fail", error: str = LOST) -> EvidenceRun:
    return run(version, "cross-merge", outcome, trained=trained, error="" if outcome == "ok" else error)


def only(*runs: EvidenceRun) -> Break:
    ((entry, _),) = computed_breaks(PLAIN, runs, SUPPORT).values()
    return entry


def test_adapters_that_lose_their_effect_in_newer_releases() -> None:
    found = only(run("4.57.1"), run("5.23.0"), crossing("4.57.1", "5.23.0"), crossing("4.57.1", "5.24.0"))
    assert (found.versions, found.crossing, found.silent) == (">4.57.1", "into", True)
    assert found.ways_out == ("merge on transformers <= 4.57.1",)
    assert "between the two nothing was run" in found.title
    assert found.id.startswith(PREFIX)


def test_a_crossing_that_works_moves_the_boundary() -> None:
    found = only(crossing("4.57.1", "5.23.0", "ok"), crossing("4.57.1", "5.24.0"))
    assert found.versions == ">=5.24.0", "5.23.0 is the release just before it"
    assert "between" not in found.title


def test_adapters_that_cannot_go_back() -> None:
    found = only(crossing("5.24.0", "4.57.1"), crossing("5.24.0", "5.23.0", "ok"), run("5.23.0"))
    assert (found.versions, found.crossing) == (">4.57.1", "out-of")
    assert found.ways_out == ("merge on transformers >= 5.23.0",)


def test_a_break_ends_where_the_same_adapter_merges_again() -> None:
    found = only(crossing("4.57.1", "5.0.0"), crossing("4.57.1", "5.23.0", "ok"))
    assert found.versions == ">4.57.1,<=5.0.0"


def test_boundaries_apart_from_one_another_are_two_breaks() -> None:
    found = computed_breaks(PLAIN, [crossing("4.51.3", "4.52.1"), crossing("5.0.0", "5.23.0")], SUPPORT)
    assert {entry.versions for entry, _ in found.values()} == {">4.51.3", ">5.0.0"}


def test_an_error_that_is_said_is_a_symptom() -> None:
    error = "RuntimeError: Error(s) in loading state_dict for PeftModel: size mismatch"
    found = only(crossing("5.24.0", "4.57.1", error=error))
    assert (found.silent, found.affects, found.sample) == (False, ("cross-merge",), error)


def test_a_step_that_fails_where_the_model_loads() -> None:
    found = only(run("4.57.1", "load"), run("4.57.1", "merge", "fail", error="MergeDiffersError: off by 0.626"),
                 run("5.23.0"), crossing("5.23.0", "4.57.1"))  # fmt: skip
    assert (found.versions, found.affects, found.silent) == ("<5.23.0", ("merge",), True)
    assert found.ways_out == ("transformers >= 5.23.0",)
    assert [*refuted_statements(_with(found), {one.id: one for one in (run("5.23.0"), crossing("5.23.0", "4.57.1"))})] \
        == ["breaks.run-merge-seed-oss-4-57-1.grade: is load, but no run of seed-oss shows it"]  # fmt: skip


def _with(entry: Break) -> Matrix:
    family = msgspec.structs.replace(PLAIN.families["seed-oss"], breaks=(entry.id,), support=())
    return msgspec.structs.replace(PLAIN, families={"seed-oss": family}, breaks={entry.id: entry}, relations=())


def test_what_a_hand_written_break_explains_is_left_to_it() -> None:
    back = [one for one in EVIDENCE.values() if one.family == "qwen2-vl" and one.capability == "cross-merge"]
    assert any(one.outcome == "fail" for one in back)
    assert computed_breaks(PLAIN, back, SUPPORT) == {}


def test_the_breaks_of_the_matrix_are_those_that_its_runs_give() -> None:
    assert not recomputed(MATRIX, EVIDENCE.values(), SUPPORT)
    assert any(key.startswith(PREFIX) for key in MATRIX.breaks)


@pytest.mark.parametrize("change", ["versions", "ways_out", "gone"])
def test_lint_fails_on_a_computed_break_that_was_edited_by_hand(change: str) -> None:
    key = next(one for one in MATRIX.breaks if one.startswith(PREFIX))
    breaks = dict(MATRIX.breaks)
    if change == "gone":
        families = {name: msgspec.structs.replace(one, breaks=tuple(name for name in one.breaks if name != key))
                    for name, one in MATRIX.families.items()}  # fmt: skip
        del breaks[key]
    else:
        families = MATRIX.families
        value = "<4.0" if change == "versions" else ("peft >= 0.19",)
        breaks[key] = msgspec.structs.replace(breaks[key], **{change: value})
    wrong = lint(msgspec.structs.replace(MATRIX, breaks=breaks, families=families), support=SUPPORT, locks={},
                 evidence=EVIDENCE)  # fmt: skip
    assert any(line.startswith(f"breaks.{key}: is not what the runs give") for line in wrong)
