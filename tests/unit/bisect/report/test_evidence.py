"""What a bisect found, as evidence for the matrix."""

from __future__ import annotations

import json
import re

import msgspec

from envpin.bisect.report.evidence import evidence
from envpin.matrix.results import parse_document
from tests.support.bisect_reports import report


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
