"""A boundary is a break only where nothing else explains it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from envpin.matrix.results import Capability, EvidenceRun, Outcome
from envpin.matrix.support import load_support
from envpin.sweep.breaks import found_breaks

SUPPORT = load_support()
LOST = "AdapterDoesNothingError: the adapter was loaded without an error and changes nothing"


def run(
    release: str, capability: Capability = "merge", outcome: Outcome = "ok", *, trained: str | None = None, **more: Any
) -> EvidenceRun:
    def packages(version: str) -> dict[str, str]:
        return {"transformers": version, "peft": "0.15.2", "torch": "2.13.0+cpu", **more.get("packages", {})}

    return EvidenceRun(
        family=more.get("family", "qwen2-vl"), capability=capability, outcome=outcome, packages=packages(release),
        trained_with=packages(trained) if trained else {}, python=more.get("python", "3.11"), date="2026-11-27",
        platform="linux-x86_64", tool="a test", error=more.get("error", LOST if outcome == "fail" else ""),
    )  # fmt: skip


LAST, FIRST = "4.51.3", "4.52.0"
FOUND = [run(LAST), run(FIRST), run(FIRST, "cross-merge", "fail", trained=LAST)]


def test_three_runs_make_a_break() -> None:
    ((name, found),) = found_breaks(FOUND, SUPPORT).items()
    assert name == "transformers-4-52-0-adapter-lost"
    assert (found.package, found.versions, found.grade) == ("transformers", ">=4.52.0", "merge-verified")
    assert found.silent
    assert found.symptom is None
    assert set(found.evidence) == {one.id for one in FOUND}
    assert "qwen2-vl" in found.title


def test_a_break_ends_where_the_same_adapter_merges_again() -> None:
    (alone,) = found_breaks([*FOUND, run("4.53.0", "cross-merge", trained=LAST)], SUPPORT).items()
    assert (alone[0], alone[1].versions) == ("transformers-4-52-0-adapter-lost-to-4-52-0", "==4.52.0")
    also = run("4.52.4", "cross-merge", "fail", trained=LAST)
    (spread,) = found_breaks([*FOUND, also, run("4.53.0", "cross-merge", trained=LAST)], SUPPORT).values()
    assert spread.versions == ">=4.52.0,<=4.52.4"


def test_what_is_said_aloud_becomes_a_symptom_that_matches_its_sample() -> None:
    loud = [*FOUND[:2], run(FIRST, "cross-merge", "fail", trained=LAST, error="RuntimeError: size mismatch for 'x'")]
    (found,) = found_breaks(loud, SUPPORT).values()
    assert not found.silent
    assert re.search(found.symptom or "", found.sample or "")


def test_a_base_that_answers_differently_is_another_break_than_an_adapter_that_is_lost() -> None:
    base = [run(LAST, family="t5"), run(FIRST, family="t5"),
            run(FIRST, "cross-merge", "fail", trained=LAST, family="t5", error="BaseDiffersError: by 0.9")]  # fmt: skip
    found = found_breaks(FOUND + base, SUPPORT)
    assert sorted(found) == ["transformers-4-52-0-adapter-lost", "transformers-4-52-0-base-differs"]
    assert not {*found["transformers-4-52-0-adapter-lost"].affects} & {
        *found["transformers-4-52-0-base-differs"].affects
    }


def test_families_of_one_boundary_are_one_break() -> None:
    other = [run(LAST, family="qwen2.5-vl"), run(FIRST, family="qwen2.5-vl"),
             run(FIRST, "cross-merge", "fail", trained=LAST, family="qwen2.5-vl")]  # fmt: skip
    (found,) = found_breaks(FOUND + other, SUPPORT).values()
    assert len(found.evidence) == 6
    assert found.title.endswith("qwen2-vl, qwen2.5-vl")


@pytest.mark.parametrize(
    "runs",
    [
        FOUND[1:],  # it was never seen to merge where it was trained
        [FOUND[0], FOUND[2]],  # the new release may not merge anything
        [run("4.50.3"), FOUND[1], run(FIRST, "cross-merge", "fail", trained="4.50.3")],  # releases lie in between
        [*FOUND[:2], run(FIRST, "cross-merge", trained=LAST)],  # it works
        [*FOUND[:2], run(FIRST, "cross-merge", "timeout", trained=LAST)],
        [
            run(LAST, packages={"peft": "0.14.0"}),
            FOUND[1],
            EvidenceRun(
                **{
                    **{name: getattr(FOUND[2], name) for name in FOUND[2].__struct_fields__},
                    "trained_with": {"transformers": LAST, "peft": "0.14.0", "torch": "2.13.0+cpu"},
                }
            ),
        ],  # peft differs too
        [run(LAST, python="3.10"), FOUND[1], FOUND[2]],
        [run(FIRST), run(LAST), run(LAST, "cross-merge", "fail", trained=FIRST)],  # backwards is no break
    ],
)
def test_anything_less_is_none(runs: list[EvidenceRun]) -> None:
    assert found_breaks(runs, SUPPORT) == {}
