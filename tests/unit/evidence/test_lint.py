"""`matrix lint`: one test for each rule, which makes the fault."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from packaging.specifiers import SpecifierSet

from envpin.core.errors import InputError
from envpin.evidence.lint import lint
from envpin.matrix.load import parse_matrix
from envpin.matrix.results import Capability, EvidenceRun, Outcome
from envpin.matrix.support import load_support

SUPPORT = load_support()

TEXT = """schema = 1
[families.gpt2]
title = "GPT-2"
breaks = ["refused"]
[families.gpt2.match]
model_type = ["gpt2"]
[families.gpt2.requires]
transformers = { versions = ">=4.10.0", reason = "its config", grade = "static" }
[[families.gpt2.known_good]]
python = "3.11"
packages = { transformers = "4.43.1", peft = "0.12.0", torch = "2.4.0" }
exclude_newer = "2024-08-01"
source = "a source"

[breaks.refused]
package = "transformers"
versions = "<4.10"
title = "t"
affects = ["load"]
ways_out = ["newer"]
source = "s"
symptom = "two fields"
sample = "a dictionary with two fields"

[[relations]]
package = "transformers"
versions = ">=4.40,<4.45"
other = "tokenizers"
needs = ">=0.19,<0.20"
reason = "its wheel"
grade = "static"
"""

RELATION = """[[relations]]
package = "transformers"
versions = ">=4.44"
other = "tokenizers"
needs = ">=0.20"
reason = "r"
"""


def run(capability: Capability = "load", outcome: Outcome = "ok", **fields: Any) -> EvidenceRun:
    packages = {"transformers": "4.43.1", "peft": "0.12.0", "torch": "2.4.0+cpu", **fields.pop("packages", {})}
    return EvidenceRun(
        **{
            "family": "gpt2", "capability": capability, "outcome": outcome, "packages": packages, "python": "3.11",
            "date": "2026-11-01", "platform": "linux-x86_64", "tool": "a test", **fields,
        }
    )  # fmt: skip


def faults(text: str, *runs: EvidenceRun, locks: dict[str, bytes] | None = None) -> list[str]:
    evidence = {one.id: one for one in runs}
    return lint(parse_matrix(text), SUPPORT, locks=locks or {}, evidence=evidence, today="2026-11-24")


def proved(grade: str, *runs: EvidenceRun) -> str:
    names = ", ".join(f'"{one.id}"' for one in runs)
    return TEXT.replace('source = "a source"', f'source = "a source"\ngrade = "{grade}"\nevidence = [{names}]')


def stated(versions: str, *runs: EvidenceRun, capability: str = "load") -> str:
    names = ", ".join(f'"{one.id}"' for one in runs)
    worked = {one.packages["transformers"] for one in runs if one.outcome == "ok"}
    inside = sum(SpecifierSet(versions).contains(one) for one in worked)
    return TEXT.replace(
        "[breaks.refused]",
        f'[[families.gpt2.support]]\ncapability = "{capability}"\npackage = "transformers"\nversions = "{versions}"\n'
        f'tested = {inside}\ngrade = "load"\nevidence = [{names}]\n[breaks.refused]',
    )


def test_the_sound_one_has_no_fault() -> None:
    assert faults(TEXT) == []
    assert faults(proved("load", run())
                  , run()) == []  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        # a version that does not exist, or was yanked, or is younger than its environment
        ('transformers = "4.43.1"', 'transformers = "4.43.9"',
         "families.gpt2.known_good[0].packages.transformers: 4.43.9 is not a release of transformers"),
        ('torch = "2.4.0"', 'torch = "2.4.7"', "families.gpt2.known_good[0].packages.torch: 2.4.7 is not a release of"),
        ('transformers = "4.43.1"', 'transformers = "4.46.0"',
         "families.gpt2.known_good[0].packages.transformers: 4.46.0 was yanked"),
        ('"2024-08-01"', '"2024-07-01"', "families.gpt2.known_good[0].packages.transformers: 4.43.1 is of 2024-07-23"),
        # intervals that contradict another statement, or the wheels
        ('">=4.10.0"', '">=4.10.0,<4.10"', "families.gpt2.requires.transformers: no version is in '>=4.10.0,<4.10'"),
        ('versions = "<4.10"', 'versions = "<4.20"',
         "families.gpt2.requires.transformers: '>=4.10.0' contradicts breaks.refused, which stops load with '<4.20'"),
        ('">=4.10.0"', '">=4.44"', "families.gpt2.known_good[0].packages.transformers: 4.43.1 breaks the family's own"),
        ('">=4.10.0"', '">=4.12"', "families.gpt2.requires.transformers: is graded static, and the wheels say >=4.10"),
        ('model_type = ["gpt2"]', 'model_type = ["qwen3"]', "families.gpt2.requires.transformers: allows 4.50.3, but"),
        ('model_type = ["gpt2"]', 'model_type = ["gpt-2"]', "families.gpt2.match.model_type: no release of"),
        ('">=4.40,<4.45"', '">=4.40,<4.40"', "relations[0].versions: no version is in '>=4.40,<4.40'"),
        ('needs = ">=0.19,<0.20"', 'needs = ">=0.20,<0.21"', "relations[0].needs: transformers 4.40.0 declares"),
        ("[[relations]]", f"{RELATION}[[relations]]",
         "relations[1].needs: '>=0.19,<0.20' contradicts relations[0], which says '>=0.20' of tokenizers"),
        # a tuple that breaks a relation, or what its own wheels import or declare
        ('peft = "0.12.0"', 'tokenizers = "0.20.0"', "families.gpt2.known_good[0].packages: transformers 4.43.1 needs"),
        ('peft = "0.12.0"', 'peft = "0.4.0"', "families.gpt2.known_good[0].packages.peft: transformers 4.43.1"),
        # a grade without evidence
        ('"a source"', '"a source"\ngrade = "merge-verified"',
         "families.gpt2.known_good[0].grade: is merge-verified without evidence"),
        ('source = "s"', 'source = "s"\ngrade = "load"', "breaks.refused.grade: is load without evidence"),
        ('source = "s"', 'source = "s"\nevidence = ["x"]', "breaks.refused.evidence: there is no committed result `x`"),
        # a lock that is gone
        ('"a source"', '"a source"\nlock = "gone"', "families.gpt2.known_good[0].lock: there is no lockfiles/"),
        ('"a source"', f'"a source"\nlock_sha256 = "{"0" * 64}"', "families.gpt2.known_good[0].lock_sha256: is given"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_its_place(old: str, new: str, line: str) -> None:
    assert old in TEXT
    found = faults(TEXT.replace(old, new, 1))
    assert any(one.startswith(line) for one in found), found


def test_a_regex_that_does_not_match_its_own_sample() -> None:
    with pytest.raises(InputError) as caught:
        parse_matrix(TEXT.replace('symptom = "two fields"', 'symptom = "three fields"'))
    assert caught.value.problems == ("breaks.refused.symptom: does not match its own sample",)


def test_stale_verifications() -> None:
    old = run(packages={"transformers": "4.42.4"})
    assert faults(proved("load", old), old) == [
        f"families.gpt2.known_good[0].evidence: `{old.id}` is stale: it was run with transformers 4.42.4; verify again"
    ]
    other = run(python="3.12")
    assert "is stale: it was run with Python 3.12" in faults(proved("load", other), other)[0]
    assert faults(proved("load", run())) == [
        f"families.gpt2.known_good[0].evidence: there is no committed result `{run().id}`; verify again"
    ]
    locked = proved("load", run()).replace('"a source"', f'"a source"\nlock = "l"\nlock_sha256 = "{"0" * 64}"')
    assert "lock_sha256: is stale" in faults(locked, run(), locks={"l": b"x"})[0]
    right = locked.replace("0" * 64, hashlib.sha256(b"x").hexdigest())
    assert faults(right, run(), locks={"l": b"x"}) == []


def test_runs_must_prove_the_grade() -> None:
    assert faults(proved("merge-verified", run()), run()) == [
        "families.gpt2.known_good[0].grade: is merge-verified, and its runs prove load"
    ]
    failed = run(outcome="fail")
    assert faults(proved("load", failed), failed) == [
        "families.gpt2.known_good[0].grade: is load, and its runs prove nothing",
        f"families.gpt2.requires.transformers: '>=4.10.0' allows 4.43.1, but `{failed.id}` fails",
    ]
    future = run(date="2027-01-01")
    assert "is dated 2027-01-01, after today" in faults(proved("load", future), future)[0]


def test_a_break_that_was_run_has_a_run_that_failed() -> None:
    text = TEXT.replace('source = "s"', f'source = "s"\ngrade = "load"\nevidence = ["{run().id}"]')
    assert faults(text, run()) == [
        "breaks.refused.evidence: none of its runs failed",
        "breaks.refused.grade: is load, but no run of gpt2 shows it",
    ]


def test_statements_agree_with_their_runs_and_with_breaks() -> None:
    good, bad = run(), run(outcome="fail", packages={"transformers": "4.9.0"})
    assert faults(stated(">=4.43.1,<=5.0.0", good, bad), good, bad) == []
    assert faults(stated(">=4.44", good), good) == [
        f"families.gpt2.support[0].versions: '>=4.44', but `{good.id}` is ok"
    ]
    assert faults(stated(">=4.9,<=5.0.0", good), good) == [
        "families.gpt2.support[0].versions: '>=4.9,<=5.0.0' contradicts breaks.refused, which stops load with '<4.10'"
    ]
    assert faults(stated(">=4.43.1"))[0] == "families.gpt2.support[0].grade: is load without evidence"
    assert "no version is in" in faults(stated(">2,<1", run(outcome="fail")), run(outcome="fail"))[0]
    twice = parse_matrix(stated(">=4.43.1", good))
    family = twice.families["gpt2"]
    doubled = msgspec.structs.replace(family, support=family.support * 2)
    again = msgspec.structs.replace(twice, families={"gpt2": doubled})
    (line,) = lint(again, SUPPORT, locks={}, evidence={good.id: good})
    assert line.startswith("families.gpt2.support[1]: says load with transformers again")


def test_relations_of_peft_must_fit_what_it_imports() -> None:
    relation = {"package": "peft", "versions": ">=0.14.0", "other": "transformers", "needs": ">=4.30", "reason": "r"}
    lines = "\n".join(f'{name} = "{value}"' for name, value in relation.items())
    found = faults(f"{TEXT}[[relations]]\n{lines}\n")
    assert any(line.startswith("relations: allow peft 0.14.0 with transformers 4.30.0, which does not have")
               for line in found), found  # fmt: skip
