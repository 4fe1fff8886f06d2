"""Runs for the heat map, and its page when somebody's text means harm."""

from __future__ import annotations

import json

import msgspec

from envpin.matrix.load import parse_matrix
from envpin.matrix.results import EvidenceRun
from envpin.matrix.support import load_support
from envpin.report.matrix_page import render_matrix

STEPS = ("load", "forward", "generate", "train", "reload", "merge")


def run(
    version: str, *outcomes: str, family: str = "llama3.1", peft: str = "0.12.0", error: str = ""
) -> list[EvidenceRun]:
    common = {"family": family, "packages": {"transformers": version, "peft": peft, "torch": "2.4.0"}, "python": "3.11",
              "date": "2026-11-27", "platform": "linux-x86_64", "tool": "a test"}  # fmt: skip
    return [
        msgspec.convert(
            {**common, "capability": step, "outcome": outcome, "error": error if outcome == "fail" else ""}, EvidenceRun
        )
        for step, outcome in zip(STEPS, outcomes, strict=False)
    ]


HOSTILE = "</script><script>window.broken=1</script><img src=x onerror=window.broken=1>{{ 7*7 }}\u2028'\"&"


def hostile_page(hostile: str) -> str:
    """The page of a matrix and a run that hold `hostile` wherever a text can stand."""
    quoted = json.dumps(hostile)
    matrix = parse_matrix(f"schema = 1\n[families.odd]\ntitle = {quoted}\nunpinnable = {quoted}\nnotes = [{quoted}]\n")
    entries = {one.id: one for one in run("4.43.1", "fail", family="odd", error=hostile)}
    return render_matrix(matrix, load_support(), entries, day="2026-11-27")
