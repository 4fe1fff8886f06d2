"""The page of a bisect: nothing in it is taken for markup."""

from __future__ import annotations

from envpin.cli.render import bisect_answer
from envpin.cli.render.bisect import document
from envpin.report.bisect_page import render
from tests.support.bisect_reports import report


def test_nothing_in_a_report_is_markup() -> None:
    page = render(document(report()), headline=bisect_answer.headline(report()), issue=bisect_answer.issue(report()))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http://" not in page
    assert "https://" not in page
    for kind in ("range", "end-wrong", "end-untestable", "undecided"):
        assert "<h1>" in render(document(report(kind, 1, 4)), headline="x", issue="")
    body = bisect_answer.issue(report())
    assert body.count("```") == 2, "the traceback ended its own block"
    assert all(line.count("|") - line.count("\\|") == 5 for line in body.splitlines() if line.startswith("| "))
