"""Every budget of a quick command in one table, so that a regression shows: `make bench`.

    python benchmarks/budgets.py [--scan N] [--json FILE]

Each row is what a whole command takes, beside its budget; ends with 1 where one is over. Merges are in replay.py, which
needs minutes and gigabytes. Figures of a busy machine are too high: look at the load in the last line first.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import check, env_create, matrix_resolve, record, scan
from tests.support.environments import find_links


class Row(NamedTuple):
    what: str
    measured: float
    budget: float
    unit: str

    @property
    def over(self) -> bool:
        return self.measured > self.budget


def starts() -> list[Row]:
    found = matrix_resolve.measure(25)
    bare = found[matrix_resolve.BARE][0]
    return [
        Row("`--help`, beyond the interpreter", found["envpin --help"][0] - bare, 30, "ms"),
        Row("`matrix resolve CONFIG`, likewise", found["envpin matrix resolve CONFIG"][0] - bare, 40, "ms"),
        Row("`matrix resolve NAME`, likewise", found["envpin matrix resolve NAME"][0] - bare, 40, "ms"),
        Row("`record`, before the child starts", record.start_cost(20), 80, "ms"),
    ]


def folders(count: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        _, busy = check.large(Path(name))
    with tempfile.TemporaryDirectory() as name:
        scan.make(Path(name), count)
        each = scan.seconds(Path(name), 2, count) / count * 1e3
    return [
        Row("`check` of a 70B-shaped pair, beyond the interpreter", busy, 150, "ms"),
        Row(f"`scan`, each of {count:,} adapters in two processes", each, 6, "ms"),
    ]


def environments() -> list[Row]:
    if find_links():
        os.environ.setdefault("PIP_FIND_LINKS", ",".join(find_links()))
    found = env_create.measure(env_create.REFS[0], 3)
    ratio, reuse = float(str(found["ratio"])), float(str(found["reuse_seconds"]))
    return [
        Row("warm `env create` beside `uv venv` and `uv pip sync`", ratio, env_create.BUDGET_RATIO, "times"),
        Row("`env create` of a ready one, whole command", reuse * 1e3, env_create.BUDGET_REUSE * 1e3, "ms"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=int, default=1000, metavar="N", help="adapters to scan (default: 1000)")
    parser.add_argument("--json", type=Path, help="leave the figures there")
    args = parser.parse_args()
    rows = [*starts(), *folders(args.scan), *environments()]
    print("| what | measured | budget | |\n|---|---|---|---|")
    for row in rows:
        mark = "**over**" if row.over else ""
        print(f"| {row.what} | {row.measured:.3g} {row.unit} | {row.budget:g} {row.unit} | {mark} |")
    print(f"\nload of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if args.json:
        args.json.write_text(json.dumps([{**row._asdict(), "over": row.over} for row in rows], indent=1))
    return int(any(row.over for row in rows))


if __name__ == "__main__":
    sys.exit(main())
