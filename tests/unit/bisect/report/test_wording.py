"""What a finished search says: in words, as an issue, as evidence, as a page. Nothing in it is taken for markup."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from envpin.bisect.report import wording
from envpin.bisect.report.evidence import evidence
from envpin.bisect.report.report import BisectReport, make_report
from envpin.bisect.search.axis import Axis, Candidate
from envpin.bisect.session.question import ProbeQuestion, Question
from envpin.cli.render.bisect import document, exit_status
from envpin.matrix.results import parse_document
from envpin.report.bisect_page import render

HOSTILE = "<script>alert('x')</script> & \"quotes\" ``` | pipe"
AXIS = Axis(
    candidates=tuple(Candidate(version=f"1.{minor}", uploaded=f"2024-01-0{minor + 1}T00:00:00Z") for minor in range(6)),
)


def probe(minor: int, verdict: str, purpose: str = "narrow", **outcome: Any) -> dict[str, Any]:
    return {
        "event": "probe", "version": f"1.{minor}", "purpose": purpose, "verdict": verdict, "source": "run",
        "seconds": 2.0, "moves": ["tok 1.0 → 2.0"] if minor >= 3 else [],
        "outcome": {"status": "passed" if verdict == "good" else "failed", **outcome},
    }  # fmt: skip


def report(
    kind: str = "named", low: int = 2, high: int = 3, *, find: str = "broke", certain: bool = True
) -> BisectReport:
    bad = {"error_type": "ValueError", "message": HOSTILE, "text": f"Traceback\nValueError: {HOSTILE}"}
    question = Question(
        package="pkg", old="1.0", new="1.5", find="broke" if find == "broke" else "fixed", python="3.11",
        probe=ProbeQuestion(action="load", family="qwen2"),
    )  # fmt: skip
    old, new = ("good", "bad") if find == "broke" else ("bad", "good")
    made = make_report(
        [
            {"event": "question", "schema": 1, "question": msgspec.to_builtins(question)},
            {"event": "setup", "reasons": {"1.3": "model type `x` appears"}},
            probe(0, old, "end", **(bad if old == "bad" else {})),
            probe(5, new, "end", **(bad if new == "bad" else {})),
            probe(2, old, **(bad if old == "bad" else {})),
            probe(3, new, **(bad if new == "bad" else {})),
            {"event": "skip", "version": "1.4", "reason": "left out by the user"},
            {"event": "conclusion", "kind": kind, "low": low, "high": high, "probability": 0.97, "certain": certain,
             "noisy": not certain, "others": [{"low": 4, "high": 5, "to": "before"}] if kind == "named" else []},
        ],
        AXIS,
    )  # fmt: skip
    assert made is not None
    return made


def test_headlines() -> None:
    assert wording.headline(report()) == "pkg 1.3 (2024-01-04) broke it; 1.2 (2024-01-03) did not"
    assert wording.headline(report(find="fixed")) == "pkg 1.3 (2024-01-04) fixed it; 1.2 (2024-01-03) did not"
    assert wording.headline(report(certain=False)).startswith("probably pkg 1.3")
    assert "cannot be tested" in wording.headline(report("range", 2, 5))
    assert wording.headline(report("end-wrong", 0, 0)) == "pkg 1.0 was to be good, but it is bad"
    assert wording.headline(report("end-wrong", 5, 5)) == "pkg 1.5 was to be bad, but it is good"
    assert wording.headline(report("end-wrong", 0, 0, find="fixed")) == "pkg 1.0 was to be bad, but it is good"
    assert "cannot be tested" in wording.headline(report("end-untestable", 5, 5))
    assert wording.headline(report("undecided", 1, 4)).startswith("undecided")
    assert [exit_status(report(kind)) for kind in ("named", "range", "end-wrong", "undecided")] == [0, 0, 1, 1]


def test_the_answer_says_what_to_do() -> None:
    said = wording.text(report())
    assert "pin: pkg==1.2" in said
    assert "tok 1.0 → 2.0" in said
    assert "model type `x` appears" in said
    assert "1.4 → 1.5 (good from there)" in said
    fixed = wording.text(report(find="fixed"))
    assert "pin: pkg==1.3" in fixed
    assert "last bad    pkg 1.2" in fixed
    assert "1.4: left out by the user" in wording.text(report("range", 2, 5))
    assert any("probability" in line for line in wording.warnings(report(certain=False)))


def test_nothing_in_a_report_is_markup() -> None:
    page = render(document(report()), headline=wording.headline(report()), issue=wording.issue(report()))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http://" not in page
    assert "https://" not in page
    for kind in ("range", "end-wrong", "end-untestable", "undecided"):
        assert "<h1>" in render(document(report(kind, 1, 4)), headline="x", issue="")
    body = wording.issue(report())
    assert body.count("```") == 2, "the traceback ended its own block"
    assert all(line.count("|") - line.count("\\|") == 5 for line in body.splitlines() if line.startswith("| "))


def test_an_issue_says_how_to_see_it_and_shows_nothing_of_this_machine() -> None:
    made = report()
    body = wording.issue(made)
    assert "`pip install pkg==1.3" in body
    assert "first bad: `pkg==1.3`" in body
    assert "last bad: `pkg==1.2`" in wording.issue(report(find="fixed"))
    there = """Traceback (most recent call last):
  File "/home/me/secret/environments/ab/lib/python3.11/site-packages/pkg/load.py", line 3, in load
  File "/home/me/src/envpin/workers/probe/probe.py", line 27, in run
ValueError: no"""
    told = wording.issue(msgspec.structs.replace(made, traceback=there))
    assert "/home/me" not in told
    assert 'File "…/site-packages/pkg/load.py", line 3' in told


def test_evidence_is_a_break_whose_symptom_matches_its_sample() -> None:
    made = evidence(report(), platform="linux-x86_64", today="2026-01-01")
    again = parse_document(json.loads(msgspec.json.encode(made)), source="the bisect")
    assert again == made
    ((name, broken),) = made.breaks.items()
    assert name == "pkg-1-3-load-qwen2"
    assert (broken.versions, broken.ways_out) == (">=1.3", ("pkg<1.3",))
    assert broken.symptom is not None
    assert re.search(broken.symptom, broken.sample or "")
    assert {entry.id for entry in made.entries} >= set(broken.evidence)
    assert [entry.outcome for entry in made.entries] == ["ok", "fail", "ok", "fail"]
    fixed = evidence(report(find="fixed"), platform="p", today="d").breaks["pkg-1-3-load-qwen2"]
    assert fixed.versions == "<1.3"
    assert not evidence(report(certain=False), platform="p", today="d").breaks


def test_a_log_without_a_conclusion_has_no_report() -> None:
    assert make_report([{"event": "question", "schema": 1, "question": {}}], AXIS) is None
