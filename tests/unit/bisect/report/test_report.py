"""The report of a search, made from its log."""

from __future__ import annotations

from envpin.bisect.report.report import make_report
from tests.support.bisect_reports import AXIS


def test_a_log_without_a_conclusion_has_no_report() -> None:
    assert make_report([{"event": "question", "schema": 1, "question": {}}], AXIS) is None
