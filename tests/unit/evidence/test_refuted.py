"""What the runs refute: every false statement that the matrix once made, put back, is found; what is written is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from envpin.core.resources import data_path
from envpin.evidence.proof import family_proof
from envpin.evidence.refuted import crosses, refuted_statements
from envpin.matrix.load import load_matrix
from envpin.matrix.results import EvidenceRun, load_results
from envpin.matrix.types import Break, Condition, Matrix, Relation

if TYPE_CHECKING:
    from collections.abc import Callable

MATRIX = load_matrix(data_path("compat_matrix.toml"))
EVIDENCE = load_results()
LOCKS = {
    path.name.removeprefix("pylock.").removesuffix(".toml"): path.read_bytes()
    for path in data_path("lockfiles").glob("pylock.*.toml")
}
# As many as were run, and three that failed before the first that works.
WITH_OUTSIDE = MATRIX.families["llama3.1"].support[0].tested + 3
replace = msgspec.structs.replace
CROSSED = [one for one in EVIDENCE.values() if one.capability == "cross-merge" and one.outcome == "fail"]


def with_break(name: str, **changes: object) -> Callable[[Matrix], Matrix]:
    def changed(matrix: Matrix) -> Matrix:
        return replace(matrix, breaks={**matrix.breaks, name: replace(matrix.breaks[name], **changes)})

    return changed


def with_family(name: str, **changes: object) -> Callable[[Matrix], Matrix]:
    def changed(matrix: Matrix) -> Matrix:
        return replace(matrix, families={**matrix.families, name: replace(matrix.families[name], **changes)})

    return changed


def with_requirement(name: str, versions: str) -> Callable[[Matrix], Matrix]:
    def changed(matrix: Matrix) -> Matrix:
        family = matrix.families[name]
        wanted = {**family.requires, "transformers": replace(family.requires["transformers"], versions=versions)}
        return with_family(name, requires=wanted, conditions=())(matrix)

    return changed


def with_tested(name: str, count: int) -> Callable[[Matrix], Matrix]:
    first, *rest = MATRIX.families[name].support
    return with_family(name, support=(replace(first, tested=count), *rest))


def with_relation(matrix: Matrix) -> Matrix:
    false = Relation(
        package="transformers", versions=">=5.24", other="peft", needs=">=0.22.0", reason="its MIN_PEFT_VERSION"
    )
    return replace(matrix, relations=(*matrix.relations, false))


def fused(family: str) -> Callable[[Matrix], Matrix]:
    """As the one break for all of them once said: that peft converts."""
    ways = ("merge on transformers 4.57", "peft >= 0.19, which converts them")

    def changed(matrix: Matrix) -> Matrix:
        return with_family(family, breaks=("fused-experts",))(with_break("fused-experts", ways_out=ways)(matrix))

    return changed


FALSE = {
    "Qwen2-VL is right with peft 0.19 and transformers 5.4": (
        with_break("vision-language-rename-qwen", ways_out=("peft >= 0.19 with transformers >= 5.4",)),
        "breaks.vision-language-rename-qwen.ways_out: 'peft >= 0.19 with transformers >= 5.4', but `qwen2-vl",
    ),
    "Qwen2.5-VL is right with peft 0.19 and transformers 5.4": (
        with_break("vision-language-rename-qwen", ways_out=("peft >= 0.19 with transformers >= 5.4",)),
        "breaks.vision-language-rename-qwen.ways_out: 'peft >= 0.19 with transformers >= 5.4', but `qwen2.5-vl",
    ),
    **{
        f"peft 0.19 converts the experts of {family}": (
            fused(family), f"breaks.fused-experts.ways_out: 'peft >= 0.19, which converts them', but `{family}:",
        )
        for family in ("qwen2-moe", "deepseek-v3", "deepseek-v2", "phi-3.5-moe", "glm-4.5", "qwen3-next")
    },
    "DeepSeek-V2 has no break": (with_family("deepseek-v2", breaks=()), "families.deepseek-v2.breaks: none of them"),
    "Qwen2-Audio has no break": (with_family("qwen2-audio", breaks=()), "families.qwen2-audio.breaks: none of them"),
    "Mistral 3 only has the rename": (
        with_family("mistral3", breaks=("vision-language-rename",)), "families.mistral3.breaks: none of them",
    ),
    "T5 is broken from 5.0.0 on": (
        with_break("t5-untied-head", versions=">=5.0.0", ways_out=("merge on transformers 4.57.6",)),
        "breaks.t5-untied-head.versions: '>=5.0.0', but `t5:cross-merge:5.23",
    ),
    "Llama 4 only fails at 5.0.0": (
        with_requirement("llama4", ">=4.51.0,!=5.0.0,<5.4.0"), "allows 5.1.0, but `llama4:load:5.1.0",
    ),
    "Llama 4 loads to the newest": (
        with_requirement("llama4", ">=4.51.0,!=5.0.*,!=5.1.*"), "allows 5.4.0, but `llama4:load:5.4.0",
    ),
    "a Llama 4 without pad_token_id only fails at 5.0.0": (
        with_break("pad-token-id-llama4", versions="==5.0.0"),
        "breaks.pad-token-id-llama4.versions: '==5.0.0' leaves out 5.1.0",
    ),
    "transformers 5.24 needs peft 0.22": (with_relation, ".needs: '>=0.22.0', but `"),
    "the releases outside count as tested": (
        with_tested("llama3.1", WITH_OUTSIDE), f'families."llama3.1".support[0].tested: is {WITH_OUTSIDE}',
    ),
    "adapters of 4.57 merge on 5.0 as before": (
        with_break("fused-experts", ways_out=("transformers 5.0.0",)),
        "breaks.fused-experts.ways_out: 'transformers 5.0.0', but",
    ),
    "nobody went the way of a graded break": (
        with_break("fused-experts", ways_out=("peft >= 99",)),
        "'peft >= 99' is graded merge-verified, but no run of mixtral",
    ),
}  # fmt: skip


def test_what_is_written_is_not_refuted() -> None:
    assert [*refuted_statements(MATRIX, EVIDENCE)] == []


@pytest.mark.parametrize(("change", "told"), FALSE.values(), ids=FALSE)
def test_false_statement_put_back_is_refuted_by_a_run(change: Callable[[Matrix], Matrix], told: str) -> None:
    assert any(told in line for line in refuted_statements(change(MATRIX), EVIDENCE))


def test_condition_graded_as_run_needs_runs_on_both_sides() -> None:
    family = MATRIX.families["llama4"]
    (condition,) = family.conditions
    one_sided = replace(condition, evidence=condition.evidence[:1])
    wrong = replace(condition, versions="<6")

    def told(changed: Condition) -> list[str]:
        return [*family_proof(replace(family, conditions=(changed,)), locks=LOCKS, evidence=EVIDENCE, today=None)]

    assert told(condition) == []
    assert any("without a run on either side" in line for line in told(one_sided))
    assert any("'<6', but `llama4:load:5.4.0" in line for line in told(wrong))


def untold(matrix: Matrix) -> set[str]:
    """The runs of `CROSSED` that lint finds no word about, by their ids."""
    lines = [line for line in refuted_statements(matrix, EVIDENCE) if ".breaks: none of them says" in line]
    return {run.id for run in CROSSED if any(f"(`{run.id}`)" in line for line in lines)}


def test_every_failed_crossing_is_in_the_matrix() -> None:
    assert len(CROSSED) >= 70
    assert untold(MATRIX) == set()


def test_crossing_that_neither_a_break_nor_a_condition_tells_is_refuted() -> None:
    """Shapes cross as families do, so a matrix that says nothing is told of every one of them."""
    bare = {name: replace(one, breaks=(), conditions=()) for name, one in MATRIX.families.items()}
    assert untold(replace(MATRIX, families=bare, breaks={})) == {run.id for run in CROSSED}
    assert any("/" in run.family for run in CROSSED)


def test_condition_tells_the_crossings_of_its_own_shape_only() -> None:
    family = MATRIX.families["llama3.1"]
    elsewhere = tuple(replace(one, shape="llama3.1/other") for one in family.conditions)
    changed = untold(with_family("llama3.1", conditions=elsewhere)(MATRIX))
    shapes = [run for run in CROSSED if run.family == "llama3.1/own-head-dim"]
    assert changed == {run.id for run in shapes if "unexpected keyword argument" not in run.error}
    assert changed


def test_break_that_no_family_names_tells_crossings_that_show_its_symptom() -> None:
    name = "adapter-config-fields"
    assert not any(name in family.breaks for family in MATRIX.families.values())
    bare = {key: replace(one, breaks=(), conditions=()) for key, one in MATRIX.families.items()}
    told = {run.id for run in CROSSED} - untold(replace(MATRIX, families=bare, breaks={name: MATRIX.breaks[name]}))
    shown = {run.id for run in CROSSED if "LoraConfig.__init__() got an unexpected keyword argument" in run.error}
    assert told == shown
    assert told


def crossing(trained: str, merged: str, peft: str = "0.20.0") -> EvidenceRun:
    return EvidenceRun(
        family="f", capability="cross-merge", packages={"transformers": merged, "peft": peft}, python="3.11",
        outcome="fail", date="2026-11-28", platform="linux-x86_64", tool="t", trained_with={"transformers": trained},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("way", "trained", "merged", "hit"),
    [
        ("into", "4.51.3", "4.52.0", True), ("into", "4.52.0", "4.51.3", False), ("into", "4.52.0", "5.0.0", False),
        ("out-of", "4.52.0", "4.51.3", True), ("out-of", "4.51.3", "4.52.0", False),
        ("into", "4.40.0", "4.51.3", False),
    ],
)  # fmt: skip
def test_a_break_hits_adapters_that_cross_its_boundary_its_way(
    way: str, trained: str, merged: str, *, hit: bool
) -> None:
    entry = Break(package="transformers", versions=">=4.52", title="t", affects=("merge",), ways_out=(), source="s",
                  silent=True, crossing=way)  # type: ignore[arg-type]  # fmt: skip
    assert crosses(entry, crossing(trained, merged)) is hit
    narrowed = replace(entry, alongside={"peft": "<0.20"})
    assert not crosses(narrowed, crossing(trained, merged))
