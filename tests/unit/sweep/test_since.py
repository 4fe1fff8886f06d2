"""What a new release still needs: which release was the last that most families were run with, and what came since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.matrix.load import load_matrix
from envpin.matrix.recipes import load_recipes
from envpin.matrix.results import EvidenceRun
from envpin.matrix.support import load_support, shipped_path
from envpin.sweep.plan import CROSS, choose_families, plan_sweep
from envpin.sweep.since import newest_covered, releases_since

if TYPE_CHECKING:
    from envpin.matrix.results import Capability

MATRIX, SUPPORT = load_matrix(), load_support(shipped_path())
FAMILIES = choose_families(["llama", "qwen2", "gemma2", "internlm3"], MATRIX.families, load_recipes())


def run(family: str, version: str, capability: Capability = "merge", trained: str = "") -> EvidenceRun:
    return EvidenceRun(
        family=family, capability=capability, packages={"transformers": version}, python="3.11", outcome="ok",
        date="2026-11-29", platform="linux-x86_64", tool="envpin",
        trained_with={"transformers": trained} if trained else {},
    )  # fmt: skip


def test_a_release_is_covered_once_half_of_the_families_that_it_knows_were_merged_in_it() -> None:
    runs = [run("llama", "5.16.1"), run("qwen2", "5.16.1")]
    assert newest_covered(FAMILIES, runs, SUPPORT) == "5.16.1", "internlm3 came later, so two of three are most"
    one = [*runs, run("llama", "5.23.0")]
    assert newest_covered(FAMILIES, one, SUPPORT) == "5.16.1", "one of four is not most"
    back = [run("llama", "5.16.1", "cross-merge", "5.23.0")]
    assert newest_covered(FAMILIES, [*one, run("gemma2", "5.23.0"), *back], SUPPORT) == "5.23.0"
    assert newest_covered(FAMILIES, [run("llama", "5.23.0", "load")], SUPPORT) is None


def test_a_release_whose_adapters_were_not_all_taken_back_is_gone_on_with() -> None:
    runs = [run(family, release) for family in ("llama", "qwen2") for release in ("5.16.1", "5.23.0")]
    runs += [run(family, "5.23.0", "cross-merge", "5.16.1") for family in ("llama", "qwen2")]
    assert newest_covered(FAMILIES, runs, SUPPORT) == "5.16.1", "none was taken back"
    runs.append(run("llama", "5.16.1", "cross-merge", "5.23.0"))
    assert newest_covered(FAMILIES, runs, SUPPORT) == "5.16.1", "one of two was"
    runs.append(run("qwen2", "4.57.1", "cross-merge", "5.23.0"))
    assert newest_covered(FAMILIES, runs, SUPPORT) == "5.23.0", "into whichever older release"


def test_releases_since_leave_out_what_was_yanked() -> None:
    assert releases_since("4.51.3", SUPPORT)[:2] == ("4.52.1", "4.52.2")
    assert releases_since(SUPPORT.newest(), SUPPORT) == ()
    assert releases_since(None, SUPPORT) == (SUPPORT.newest(),)


@pytest.mark.parametrize("known", [True, False])
def test_where_the_outcomes_are_known_only_adapters_are_made(known: bool) -> None:
    plan = plan_sweep(FAMILIES, SUPPORT, releases=("5.23.0", "5.24.0"), known=("5.23.0",) if known else ())
    steps = {pins.transformers: plan.steps_in(pins) for pins in plan.climbs}
    assert steps["5.24.0"] == plan.steps
    assert (steps["5.23.0"] == ("load", "train")) == known
    assert {(one.transformers, other.transformers) for one, other in plan.crossings} >= {
        ("5.23.0", "5.24.0"), ("5.24.0", "5.23.0")
    }  # fmt: skip
    assert CROSS not in steps["5.24.0"]
