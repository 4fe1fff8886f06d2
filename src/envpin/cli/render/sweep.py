"""What a sweep looks like: a live table with the time that is left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from envpin.cli.console.tables import table
from envpin.core.events import Note, Step
from envpin.core.sizes import counted
from envpin.sweep.progress import Pace, remaining

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envpin.cli.console.console import Console
    from envpin.core.events import Event
    from envpin.matrix.results import EvidenceFile
    from envpin.sweep.plan import Pins, SweepPlan
    from envpin.sweep.results import Results
    from envpin.sweep.run import Sweep

SCHEMA = 1
_MARKS = {"ok": "✓", "fail": "✗", "timeout": "⏱", "untestable": "–"}


class SweepView:
    """Hears of every record; draws at most a few times a second."""

    def __init__(self, console: Console, plan: SweepPlan, *, jobs: int) -> None:
        self._console = console
        self._plan = plan
        self._pace = Pace(jobs=jobs)
        self._names: dict[str, str] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._live: Any = None
        self._said = 0.0

    def begin(self, sweep: Sweep, results: Results) -> None:
        self._sweep, self._results = sweep, results
        models = {name for names in self._plan.climbs.values() for name in names}
        climbs = counted(len(self._plan.climbs), "environment")
        self._console.talk(f"{climbs} for {counted(len(models), 'model')}; results in {results.folder}")

    def on_plan(self, total: int, known: int) -> None:
        """The environments are resolved: how many steps there are, and how many are known."""
        self._pace.start(total, known, now=time.monotonic())
        self._console.talk(f"{counted(total, 'step')}, {known} known already")
        for pins in self._plan.climbs:
            key = self._sweep.key_of(pins)
            if key is not None:
                self._names[key] = pins.name
        for key, _trained, family, recipe in self._sweep.wanted():
            counts = self._counts.setdefault(key, Counter())
            for record in self._results.known(key, family, recipe, trained_in=_trained).values():
                counts[record["outcome"]] += 1
        if self._console.interactive and not self._console.json_mode and total > known:
            from envpin.cli.render.sweep_live import LiveTable

            self._live = LiveTable(self.rows, self.footer)

    def listener(self, event: Event) -> None:
        """Building and resolving; drawn as lines above the table."""
        match event:
            case Step(state="done" | "failed") if self._live is None:
                self._console.talk(f"{'✓' if event.state == 'done' else '✗'} {event.title}: {event.detail}")
            case Note(level="warning"):
                self._line(f"warning: {event.message}")
            case _:
                pass

    def on_record(self, record: Mapping[str, Any]) -> None:
        match record["event"]:
            case "environment":
                self._names.setdefault(record["key"], record["name"])
            case "unbuildable":
                self._line(f"✗ no environment: {record['name']}: {record['message'].splitlines()[0]}")
            case "outcome":
                self._pace.add(now=time.monotonic())
                self._counts.setdefault(record["key"], Counter())[record["outcome"]] += 1
                if record["outcome"] in {"fail", "timeout"}:
                    self._line(self._about(record))
                self._tick()

    def rows(self) -> list[tuple[str, Counter[str]]]:
        """(environment, outcome counts) in the order of the plan."""
        return [(name, self._counts.get(key, Counter())) for key, name in self._names.items()]

    def footer(self) -> str:
        """`412 of 1,200 steps, about 6 min left`"""
        return remaining(self._pace, now=time.monotonic())

    def close(self) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None
        self._console.close()

    def finish(self, document: EvidenceFile, *, wrong: Sequence[str], output: str | None) -> None:
        """The table of what was found, on stdout."""
        if self._console.json_mode:
            self._console.document(SCHEMA, self._document(document, wrong))
            return
        self._console.data("\n".join(self._table(document)))
        for key, found in document.breaks.items():
            self._console.talk(f"break    {key}: {found.title}")
        for line in wrong:
            self._console.talk(f"differs  {line}")
        if output:
            self._console.talk(f"{counted(len(document.entries), 'entry')} in {output}")

    def _document(self, document: EvidenceFile, wrong: Sequence[str]) -> dict[str, object]:
        import msgspec

        environments = [
            {"name": pins.name, "python": pins.python, "key": self._sweep.key_of(pins),
             "error": self._results.unbuildable(pins.name), "families": list(names)}
            for pins, names in self._plan.climbs.items()
        ]  # fmt: skip
        return {
            "environments": environments,
            "entries": [{"id": one.id, **msgspec.to_builtins(one)} for one in document.entries],
            "breaks": msgspec.to_builtins(document.breaks),
            "contradictions": list(wrong),
        }

    def _table(self, document: EvidenceFile) -> list[str]:
        """Families × environments, each cell the furthest that was reached."""
        rows: dict[str, dict[int, str]] = {}
        columns = [pins for pins in self._plan.climbs if self._sweep.key_of(pins) is not None]
        for at, pins in enumerate(columns):
            for family in self._plan.climbs[pins]:
                rows.setdefault(family, {})[at] = self._cell(pins, family)
        heads = [f"{pins.transformers}" for pins in columns]
        body = [[family, *(cells.get(at, "") for at in range(len(heads)))] for family, cells in rows.items()]
        lines = table([["family", *heads], *body])
        crossed = Counter(one.outcome for one in document.entries if one.capability == "cross-merge")
        if crossed:
            said = ", ".join(f"{count} {outcome}" for outcome, count in crossed.most_common())
            lines.append(f"cross-merges: {said}")
        return lines

    def _cell(self, pins: Pins, family: str) -> str:
        from envpin.sweep.plan import recipe_digest

        known = self._results.known(
            self._sweep.key_of(pins) or "", family, recipe_digest(self._sweep.recipes[family])
        )  # fmt: skip
        last = ""
        for step in self._plan.steps:
            record = known.get(step)
            if record is None:
                break
            if record["outcome"] in {"fail", "timeout"}:
                return f"{_MARKS[record['outcome']]} {step}"
            last = step if record["outcome"] == "ok" else last
        return f"✓ {last}" if last else "–"

    def _about(self, record: Mapping[str, Any]) -> str:
        where = self._names.get(record["key"], record["key"])
        if record["trained_in"]:
            where = f"{self._names.get(record['trained_in'], record['trained_in'])} → {where}"
        first = record.get("error", "").splitlines()[0][:150] if record.get("error") else ""
        return f"{_MARKS[record['outcome']]} {record['family']}: {record['capability']} with {where}: {first}"

    def _line(self, text: str) -> None:
        if self._live is not None:
            self._live.print(text)
        else:
            self._console.talk(text)

    def _tick(self) -> None:
        """Elsewhere than on a terminal: a line now and then, so that a log shows that it lives."""
        if self._live is None and time.monotonic() - self._said > 15:
            self._said = time.monotonic()
            self._console.talk(f"  {self.footer()}")
