"""What a finished search says: in words, as an issue, as evidence, as a page. Nothing in it is taken for markup."""

from __future__ import annotations

import msgspec

from envpin.cli.render import bisect_answer
from envpin.cli.render.bisect import exit_status
from tests.support.bisect_reports import report


def test_headlines() -> None:
    assert bisect_answer.headline(report()) == "pkg 1.3 (2024-01-04) broke it; 1.2 (2024-01-03) did not"
    assert bisect_answer.headline(report(find="fixed")) == "pkg 1.3 (2024-01-04) fixed it; 1.2 (2024-01-03) did not"
    assert bisect_answer.headline(report(certain=False)).startswith("probably pkg 1.3")
    assert "cannot be tested" in bisect_answer.headline(report("range", 2, 5))
    assert bisect_answer.headline(report("end-wrong", 0, 0)) == "expected pkg 1.0 to be good, but the probe failed"
    assert bisect_answer.headline(report("end-wrong", 5, 5)) == "expected pkg 1.5 to be bad, but the probe passed"
    fixed = report("end-wrong", 0, 0, find="fixed")
    assert bisect_answer.headline(fixed) == "expected pkg 1.0 to be bad, but the probe passed"
    assert "cannot be tested" in bisect_answer.headline(report("end-untestable", 5, 5))
    assert bisect_answer.headline(report("undecided", 1, 4)).startswith("undecided")
    assert [exit_status(report(kind)) for kind in ("named", "range", "end-wrong", "undecided")] == [0, 0, 1, 1]


def test_the_answer_says_what_to_do() -> None:
    said = bisect_answer.text(report())
    assert "pin: pkg==1.2" in said
    assert "tok 1.0 → 2.0" in said
    assert "model type `x` appears" in said
    assert "1.4 → 1.5 (good from there)" in said
    fixed = bisect_answer.text(report(find="fixed"))
    assert "pin: pkg==1.3" in fixed
    assert "last bad    pkg 1.2" in fixed
    assert "1.4: left out by the user" in bisect_answer.text(report("range", 2, 5))
    assert any("probability" in line for line in bisect_answer.warnings(report(certain=False)))


def test_an_issue_says_how_to_see_it_and_shows_nothing_of_this_machine() -> None:
    made = report()
    body = bisect_answer.issue(made)
    assert "`pip install pkg==1.3" in body
    assert "first bad: `pkg==1.3`" in body
    assert "last bad: `pkg==1.2`" in bisect_answer.issue(report(find="fixed"))
    there = """Traceback (most recent call last):
  File "/home/me/secret/environments/ab/lib/python3.11/site-packages/pkg/load.py", line 3, in load
  File "/home/me/src/envpin/workers/probe/probe.py", line 27, in run
ValueError: no"""
    told = bisect_answer.issue(msgspec.structs.replace(made, traceback=there))
    assert "/home/me" not in told
    assert 'File "…/site-packages/pkg/load.py", line 3' in told
