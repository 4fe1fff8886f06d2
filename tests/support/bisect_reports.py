"""The report of a small bisect over pkg 1.0 to 1.5, whose failure has a hostile message."""

from __future__ import annotations

from typing import Any

import msgspec

from envpin.bisect.question import ProbeQuestion, Question
from envpin.bisect.report.report import BisectReport, make_report
from envpin.bisect.search.axis import Axis, Candidate

HOSTILE = '<script>window.broken=1</script><img src=x onerror=window.broken=1> & "quotes" ``` | pipe'
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
