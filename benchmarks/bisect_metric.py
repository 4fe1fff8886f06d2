"""How many runs `bisect --metric` takes on simulated histories, beside repeating every probe as often as is needed.

    .venv/bin/python benchmarks/bisect_metric.py [HISTORIES]

The histories are those of tests/property/test_metric_searches.py: 60 releases, a change of 0.3 to 1.0 at one of them,
noise of four sizes, a third of them with outliers of four times the noise. Plain repetition runs each probe of the same
search a number of times that is fixed beforehand, from the noise of the ends, so that its mean is told as surely.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.property.test_metric_searches import NoisyHistory, conclusion_of

from envpin.bisect.search.metric import END_RUNS


class CountedHistory(NoisyHistory):
    """A history that counts the releases that were probed."""

    probes = 0

    def outcome(self, index: int):
        self.probes += 1
        return super().outcome(index)


def row(name: str, histories: list[CountedHistory]) -> tuple[str, int]:
    """A line of the table, and how many were named wrongly."""
    searched = [one for one in histories if one.found is not None]
    named = wrong = runs = plain = 0
    for history in searched:
        found = conclusion_of(history)
        named += found.kind == "named"
        wrong += found.kind in {"named", "range"} and not found.low < history.first <= found.high
        runs += history.runs
        plain += 2 * END_RUNS + history.probes * history.found.fixed  # type: ignore[union-attr]  # those are searched
    count = len(searched) or 1
    cells = (name, len(histories), len(histories) - len(searched), named, len(searched) - named, wrong,
             f"{runs / count:.1f}", f"{plain / count:.1f}")  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |", wrong


def main(count: int) -> int:
    histories = [CountedHistory(seed) for seed in range(count)]
    print(
        "| noise | histories | refused: the ends are too near | named | left open | wrong | runs | plain repetition |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for noise in sorted({one.noise for one in histories}):
        print(row(str(noise), [one for one in histories if one.noise == noise])[0])
    line, wrong = row("all", [CountedHistory(seed) for seed in range(count)])
    print(line)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500))
