"""Conditions of a family: what runs of the shape that they are about prove and refute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from envpin.core.resources import data_path
from envpin.evidence.add import contradictions
from envpin.evidence.shapes import proved_conditions, refuted_conditions
from envpin.matrix.load import load_matrix
from envpin.matrix.results import KIND, SCHEMA, EvidenceFile, EvidenceRun
from envpin.matrix.types import Condition, Sign

if TYPE_CHECKING:
    from envpin.matrix.results import Capability, Outcome
    from envpin.matrix.types import Matrix

MATRIX = load_matrix(data_path("compat_matrix.toml"))
SHAPE = "seed-oss/wide"


def matrix(versions: str = ">=4.45.0") -> Matrix:
    condition = Condition(
        package="transformers", versions=versions, when=(Sign(path="head_dim", equals=8),), reason="r", shape=SHAPE
    )
    family = msgspec.structs.replace(MATRIX.families["seed-oss"], conditions=(condition,))
    return msgspec.structs.replace(MATRIX, families={"seed-oss": family})


def run(version: str, capability: Capability, outcome: Outcome = "ok", trained: str | None = None) -> EvidenceRun:
    return EvidenceRun(
        family=SHAPE, capability=capability, packages={"transformers": version}, python="3.11", outcome=outcome,
        date="2026-11-29", platform="linux-x86_64", tool="t", trained_with={"transformers": trained} if trained else {},
    )  # fmt: skip


INSIDE = [run("4.45.0", "load"), run("4.45.0", "merge"), run("4.49.0", "merge")]


@pytest.mark.parametrize(
    ("outside", "grade"),
    [
        (run("4.44.2", "load", "fail"), "load"), (run("4.44.2", "train", "fail"), "train"),
        (run("4.44.2", "cross-merge", "fail", trained="4.45.0"), "merge-verified"),
    ],
)  # fmt: skip
def test_a_condition_is_proved_by_the_nearest_release_on_either_side(outside: EvidenceRun, grade: str) -> None:
    further = run("4.42.4", "load", "fail")
    (found,) = proved_conditions(matrix(), [*INSIDE, outside, further])
    assert (found.family, found.grade) == ("seed-oss", grade)
    assert found.evidence == tuple(sorted([outside.id, INSIDE[1].id]))


def test_what_an_older_release_made_for_itself_proves_nothing() -> None:
    """It reads the config in its own way, and so what it makes fits it."""
    alone = [run("4.44.2", "load"), run("4.44.2", "merge"), run("4.44.2", "cross-merge", "fail", trained="4.43.0")]
    assert [*proved_conditions(matrix(), [*INSIDE, *alone])] == []
    assert [*refuted_conditions(matrix(), [*INSIDE, *alone])] == []


def test_runs_refute_a_condition_on_either_side() -> None:
    (inside,) = refuted_conditions(matrix(">=4.44.0"), [run("4.44.2", "load", "fail")])
    assert inside.startswith("families.seed-oss.conditions[0].versions: '>=4.44.0', but")
    (outside,) = refuted_conditions(matrix(), [run("4.44.2", "cross-merge", trained="4.49.0")])
    assert outside.endswith("works")


def test_runs_of_a_shape_say_nothing_of_its_family() -> None:
    wrong = EvidenceFile(schema=SCHEMA, kind=KIND, entries=(run("4.57.1", "load", "fail"),))
    assert contradictions(matrix(), {}, wrong) == []
    stranger = msgspec.structs.replace(wrong.entries[0], family="nobody/wide")
    assert contradictions(matrix(), {}, msgspec.structs.replace(wrong, entries=(stranger,))) != []
