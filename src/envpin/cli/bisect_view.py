"""What a search shows while it runs and when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpin.bisect.question import Question
    from envpin.bisect.search import Conclusion, Problem
    from envpin.bisect.session import Session
    from envpin.cli.console import Console


class View:
    def __init__(self, console: Console, question: Question) -> None:
        self._console = console
        self._question = question
        self.listener = console.listener()

    def begin(self, session: Session, problem: Problem) -> None:
        self._console.talk(f"{len(session.axis.candidates)} releases")
        for version, reason in session.setup["reasons"].items():
            self._console.talk(f"  {version}: {reason}")

    def on_record(self, record: Mapping[str, Any], session: Session) -> None:
        if record["event"] == "probe":
            self._console.talk(str({k: record.get(k) for k in ("version", "purpose", "verdict", "seconds", "environment_seconds", "source", "moves")}))
            o = record["outcome"]
            self._console.talk(f"   {o['status']} {o.get('error_type')} {(o.get('message') or '')[:200]} {o.get('details')}")

    def finish(self, session: Session, conclusion: Conclusion, *, html: Path | None) -> int:
        self._console.talk(str(conclusion))
        v = session.axis.versions
        self._console.data(f"{v[conclusion.low]} -> {v[conclusion.high]}")
        return 0
