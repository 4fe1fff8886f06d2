"""What evidence does to a matrix: grades, statements, breaks; and what it must not do silently."""

from __future__ import annotations

from typing import Any

import pytest
import tomlkit
from msgspec.structs import replace

from envpin.core.resources import data_path
from envpin.evidence.add import Additions, contradictions, plan_additions, without
from envpin.evidence.edit import edited
from envpin.matrix.load import load_matrix, parse_matrix
from envpin.matrix.results import KIND, SCHEMA, Capability, EvidenceFile, EvidenceRun, Outcome, load_results
from envpin.matrix.support import load_support
from envpin.matrix.types import Break

TEXT = """# A comment at the top.
schema = 1

[families.one]  # the first
title = "One"
breaks = ["old"]

[families.one.match]
model_type = ["one"]

[families.one.requires]
transformers = { versions = ">=4.40", reason = "its config" }

[[families.one.known_good]]
python = "3.11"
packages = { transformers = "4.43.1", peft = "0.12.0", torch = "2.4.0" }   # of one week
exclude_newer = "2024-08-01"
source = "a source"

# The second family stays as it is.
[families.two]
title = "Two"
unpinnable = "an example"

[breaks.old]
package = "transformers"
versions = "<4.42"
title = "t"
affects = ["load"]
ways_out = ["newer"]
source = "s"
symptom = "boom"
sample = "boom"

[breaks.cache]
package = "peft"
versions = ">=0.14"
title = "t"
affects = ["import"]
ways_out = ["older"]
source = "s"
silent = true
"""
MATRIX = parse_matrix(TEXT)
PINS = "transformers 4.43.1, peft 0.12.0, torch 2.4.0"
OLD = PINS.replace("4.43.1", "4.41.0")


def run(capability: Capability, outcome: Outcome, transformers: str = "4.43.1", **fields: Any) -> EvidenceRun:
    packages = {"transformers": transformers, "peft": "0.12.0", "torch": "2.4.0", **fields.pop("packages", {})}
    return EvidenceRun(
        **{
            "family": "one", "capability": capability, "outcome": outcome, "packages": packages, "python": "3.11",
            "date": "2026-11-24", "platform": "linux-x86_64", "tool": "a test", **fields,
        }
    )  # fmt: skip


def document(*entries: EvidenceRun, **breaks: Break) -> EvidenceFile:
    return EvidenceFile(schema=SCHEMA, kind=KIND, entries=entries, breaks=breaks)


def added(*entries: EvidenceRun, **breaks: Break) -> Additions:
    evidence = document(*entries, **breaks)
    assert contradictions(MATRIX, {}, evidence) == []
    return plan_additions(MATRIX, {}, evidence)


def broken(versions: str = ">=0.99", **fields: Any) -> Break:
    return Break(
        **{"package": "peft", "versions": versions, "title": "t", "affects": ("merge",), "ways_out": ("older",),
           "source": "envpin bisect", "silent": True, **fields}
    )  # fmt: skip


def lines(*entries: EvidenceRun, **breaks: Break) -> list[str]:
    return [line for _, line in contradictions(MATRIX, {}, document(*entries, **breaks))]


def test_runs_of_the_known_good_versions_raise_their_grade_and_nothing_else_changes() -> None:
    additions = added(run("load", "ok", packages={"torch": "2.4.0+cpu"}), run("train", "ok"), run("merge", "ok"))
    text = edited(TEXT, additions)
    family = parse_matrix(text).families["one"]
    assert family.grade == "merge-verified"
    assert set(family.known_good[0].evidence) == set(additions.entries)
    kept = [line for line in TEXT.splitlines() if line not in text.splitlines()]
    assert kept == [], "a line of the file got lost: comments, order and layout stay"
    again = plan_additions(parse_matrix(text), additions.entries, document(*additions.entries.values()))
    assert not again.changes_matrix
    assert again.fresh == ()


def test_a_grade_is_never_lowered() -> None:
    first = added(run("load", "ok"), run("merge", "ok"))
    proved = parse_matrix(edited(TEXT, first))
    assert not plan_additions(proved, {}, document(run("load", "ok"))).raised


def test_other_versions_than_the_known_good_ones_prove_nothing_about_them() -> None:
    assert not added(run("merge", "ok", "4.44.0")).raised
    assert not added(run("merge", "ok", python="3.12")).raised
    assert not added(run("merge", "ok", trained_with={"peft": "0.11.0"})).raised


def test_simple_outcomes_become_an_interval_with_its_edges() -> None:
    runs = [run("load", "fail", "4.39.3"), run("load", "ok", "4.43.1"), run("load", "ok", "4.9.9"),
            run("load", "ok", "4.57.1"), run("load", "timeout", "5.0.0")]  # fmt: skip
    runs.pop(2)
    (statement,) = added(*runs).statements["one"]
    assert (statement.versions, statement.tested, statement.grade) == (">=4.43.1,<=4.57.1", 2, "load")
    assert [one.split(":")[2] for one in statement.evidence] == ["4.39.3", "4.43.1", "4.57.1"]
    text = edited(TEXT, added(*runs))
    assert parse_matrix(text).families["one"].support == (statement,)


def test_steps_that_say_what_the_next_one_says_are_not_repeated() -> None:
    steps: list[Capability] = ["load", "forward", "train", "merge"]
    runs = [run(step, "ok", version) for step in steps for version in ("4.43.1", "4.57.1")]
    runs += [run("load", "ok", "5.0.0"), run("forward", "ok", "5.0.0")]
    stated = added(*runs).statements["one"]
    assert [(one.capability, one.versions) for one in stated] == [
        ("load", ">=4.43.1,<=5.0.0"), ("forward", ">=4.43.1,<=5.0.0"), ("merge", ">=4.43.1,<=4.57.1")
    ]  # fmt: skip


def test_a_statement_that_a_later_run_denies_is_taken_back() -> None:
    first = added(run("load", "ok", "4.43.1"), run("load", "ok", "5.23.0"))
    stated = parse_matrix(edited(TEXT, first))
    later = document(run("load", "fail", "5.0.0", error="AttributeError: x"))
    second = plan_additions(stated, first.entries, later)
    assert second.statements == {"one": ()}
    assert any("fails in between, at 5.0.0" in note for note in second.notes)
    assert parse_matrix(edited(edited(TEXT, first), second)).families["one"].support == ()


def test_what_was_run_beside_another_torch_becomes_the_recommended_tuple() -> None:
    beside = {"torch": "2.13.0+cpu"}
    runs = [run("load", "ok", packages=beside), run("merge", "ok", packages=beside)]
    additions = plan_additions(MATRIX, {}, document(*runs), support=load_support())
    good = additions.tuples["one"]
    assert good.packages == {"transformers": "4.43.1", "peft": "0.12.0", "torch": "2.13.0"}
    assert (good.grade, good.exclude_newer) == ("merge-verified", "2026-07-15")
    text = edited(TEXT, additions)
    family = parse_matrix(text).families["one"]
    assert family.known_good == (good, *MATRIX.families["one"].known_good)
    assert [line for line in TEXT.splitlines() if line not in text.splitlines()] == []
    again = plan_additions(parse_matrix(text), additions.entries, document(*runs), support=load_support())
    assert not again.changes_matrix


@pytest.mark.parametrize(
    "runs",
    [
        [run("load", "ok", packages={"torch": "2.13.0"})],  # not merged
        [run("merge", "ok", packages={"torch": "2.13.0", "peft": "0.13.2"})],  # another peft too
        [run("merge", "ok", "4.44.0", packages={"torch": "2.13.0"})],
        [run("merge", "ok", packages={"torch": "2.13.9"})],  # no such release
        [run("merge", "ok", packages={"torch": "2.13.0"}), run("load", "ok")],  # its own versions were run as well
    ],
)
def test_nothing_less_makes_a_tuple(runs: list[EvidenceRun]) -> None:
    assert not plan_additions(MATRIX, {}, document(*runs), support=load_support()).tuples


def test_a_known_break_that_is_found_again_gets_the_runs_as_its_evidence() -> None:
    runs = [run("merge", "ok", "4.41.2"), run("cross-merge", "fail", "4.41.0", trained_with={"transformers": "4.43.1"})]
    again = broken("<4.42", package="transformers", affects=("load", "merge"), grade="merge-verified",
                   evidence=tuple(one.id for one in runs))  # fmt: skip
    evidence = document(*runs, found=again)
    additions = plan_additions(MATRIX, {}, evidence)
    assert (additions.breaks, additions.links) == ({}, ())
    text = edited(TEXT, additions)
    kept = parse_matrix(text).breaks["old"]
    assert (kept.grade, kept.evidence, kept.title) == ("merge-verified", again.evidence, "t")
    assert not plan_additions(parse_matrix(text), additions.entries, evidence).changes_matrix


def test_a_break_is_linked_to_the_families_that_it_stopped() -> None:
    runs = [run("merge", "ok"), run("merge", "fail", "4.50.3", packages={"peft": "0.15.2"}, family="two")]
    additions = plan_additions(MATRIX, {}, document(*runs, new=broken(evidence=tuple(one.id for one in runs))))
    assert additions.links == (("two", "new"),)


def test_flips_are_listed_and_not_stated() -> None:
    additions = added(
        run("generate", "ok", "4.43.1"), run("generate", "fail", "4.44.0"), run("generate", "ok", "5.0.0")
    )
    assert not additions.statements
    assert additions.notes == ("families.one: generate fails in between, at 4.44.0; no statement",)
    mixed = added(run("train", "ok", "4.44.0"), run("train", "fail", "4.44.0", packages={"peft": "0.13.0"}))
    assert mixed.notes == ("families.one: train depends on more than transformers at 4.44.0; no statement",)


def test_an_import_that_another_package_breaks_is_not_held_against_transformers() -> None:
    spoiled = run("load", "fail", "4.43.1", packages={"peft": "0.14.0"})
    assert lines(spoiled) == []
    assert not added(run("load", "ok", "4.43.1"), run("load", "ok", "4.44.0"), spoiled).notes
    aloud = run("load", "fail", "4.43.1", packages={"peft": "0.14.0"}, error="AttributeError: no pad_token_id")
    assert len(lines(aloud)) == 1, "what has nothing to do with the import is not explained by it"


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (run("load", "fail", "4.41.0", error="ValueError: x\nmore"),
         f"families.one.requires.transformers: '>=4.40' allows 4.41.0, but load fails with {OLD} (ValueError: x)"),
        (run("merge", "fail"),
         f"families.one.known_good[0]: {PINS} is known good, but merge fails with {PINS}"),
        (run("load", "ok", "4.41.2"), "breaks.old.versions: '<4.42' has transformers 4.41.2, but "),
        (run("load", "ok", family="three"), "entries[0].family: `three` is not a family of the matrix"),
    ],
)  # fmt: skip
def test_contradictions_are_named(entry: EvidenceRun, line: str) -> None:
    (found,) = lines(entry)
    assert found.startswith(line)


def test_the_same_run_with_another_outcome_is_a_contradiction_until_it_may_replace() -> None:
    old, new = run("forward", "ok", "4.44.0"), run("forward", "fail", "4.44.0")
    assert any("another entry of 2026-11-24 says ok" in line for line in lines(old, new))
    ((name, line),) = [one for one in contradictions(MATRIX, {old.id: old}, document(new)) if "kept evidence" in one[1]]
    assert (name, old.id in line) == ("one", True)
    replaced = contradictions(MATRIX, {old.id: old}, document(new), replace=True)
    assert not [one for one in replaced if "kept evidence" in one[1]]


def test_a_break_is_added_once_and_linked_to_its_family() -> None:
    additions = added(run("merge", "ok"), **{"peft-new": broken()})
    text = edited(TEXT, additions)
    matrix = parse_matrix(text)
    assert matrix.families["one"].breaks == ("old", "peft-new")
    again = plan_additions(matrix, additions.entries, document(run("merge", "ok"), **{"other-name": broken()}))
    assert not again.changes_matrix


def test_another_boundary_of_a_known_break_is_refused() -> None:
    assert lines(old=broken(">=4.50", package="transformers")) == [
        "breaks.old.versions: says transformers '<4.42', and the evidence says transformers '>=4.50'"
    ]
    alike = broken("<4.41", package="transformers", symptom="boom", sample="boom", silent=False)
    assert lines(new=alike) == [
        "breaks.old.versions: says transformers '<4.42', and the evidence says transformers '<4.41'"
    ]


def test_what_is_contradicted_can_be_left_out() -> None:
    evidence = document(run("load", "fail", "4.41.0"), run("load", "ok", family="two"), new=broken())
    left = without(evidence, ["one", "new"])
    assert ([one.family for one in left.entries], left.breaks) == (["two"], {})


def test_a_family_is_borrowed_into_an_overlay_that_lacks_it() -> None:
    text = edited("schema = 1\n", added(run("load", "ok")), borrow_from=TEXT)
    overlay = parse_matrix(text, on_top_of=MATRIX)
    assert overlay.families["one"].grade == "load"
    assert list(tomlkit.parse(text)["families"]) == ["one"]


def test_a_failure_that_a_condition_of_the_tiny_model_tells_of_contradicts_nothing() -> None:
    matrix = load_matrix(data_path("compat_matrix.toml"))
    refused = [one for one in load_results().values() if one.family == "llama4" and one.outcome == "fail"
               and one.packages["transformers"] == "5.23.0" and one.capability == "load"]  # fmt: skip
    assert refused
    document = EvidenceFile(schema=SCHEMA, kind=KIND, entries=tuple(refused))
    assert contradictions(matrix, {}, document) == []
    older = tuple(replace(one, packages={"transformers": "5.3.0"}) for one in refused)
    assert len(contradictions(matrix, {}, replace(document, entries=older))) == len(refused)
