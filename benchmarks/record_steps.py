"""What recording takes of a training of 200 steps and of each save, beside the run itself.

    .venv/bin/python benchmarks/record_steps.py PYTHON [--steps 200] [--pairs 0] [--size tiny|small|wide|deep …]

PYTHON is an interpreter of a training environment (torch, transformers, peft). The hook is timed inside the run,
around each of its doors: on a busy machine the difference of two runs hides it. `--pairs N` adds pairs of whole runs,
plain and recorded in turn. Ends with 1 where a budget is exceeded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
HOOK = ROOT / "src" / "envpin" / "recording" / "hook"
INSIDE = Path(__file__).with_name("record_steps_inside.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
SHARE, SAVE = 0.01, 0.05  # of the training's time; seconds a save beyond hashing
_BEFORE = ("wrapping", "finding", "resolved", "after from", "generators before", "noting")  # not while it trains
_SAVING = "recording a saved adapter"


class Size(NamedTuple):
    """A base and its training; the step that they make on one core is in the table."""

    hidden: int
    layers: int
    length: int
    rank: int


SIZES = {
    "tiny": Size(32, 2, 64, 8),
    "small": Size(128, 4, 128, 8),
    "wide": Size(512, 8, 256, 64),
    "deep": Size(64, 32, 64, 16),  # 448 tensors, as an 8B model with all its linear layers
}


def run(hook: str, size: Size, steps: int, python: str, folder: Path) -> dict[str, Any]:
    words = [python, str(INSIDE), hook, str(folder / "base"), str(folder / f"out-{os.urandom(4).hex()}"),
             str(steps), *map(str, size)]  # fmt: skip
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(name: str, size: Size, found: dict[str, Any], steps: int) -> tuple[str, bool]:
    """A line of the table, and whether it is within the budgets."""
    doors = {key: sum(times) for key, times in found["doors_cpu"].items()}
    during = sum(took for key, took in doors.items() if key != _SAVING and not key.startswith(_BEFORE))
    share = during / found["cpu"]
    saves, hashing = found["doors_cpu"][_SAVING], found["saves_hashing"]
    beyond = [one - other for one, other in zip(saves, hashing, strict=True)]
    step, each = found["cpu"] / steps * 1e3, during / steps * 1e6
    line = (f"| {name}: hidden {size.hidden}, {size.layers} layers | {step:.1f} ms | {each:.0f} µs | {share:.2%} | "
            f"{1e3 * max(beyond):.1f} ms | {1e3 * statistics.median(saves):.1f} ms |")  # fmt: skip
    return line, share <= SHARE and max(beyond) <= SAVE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--size", action="append", choices=list(SIZES))
    args = parser.parse_args()
    print("| run | step | hook a step | share | slowest save beyond hashing | a save |\n|---|---|---|---|---|---|")
    kept = True
    for name in args.size or SIZES:
        size = SIZES[name]
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            kept = _measure(name, size, args, folder) and kept
    print(f"\nCPU time of {args.steps} steps; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return int(not kept)


def _measure(name: str, size: Size, args: argparse.Namespace, folder: Path) -> bool:
    line, kept = row(name, size, run(str(HOOK), size, args.steps, args.python, folder), args.steps)
    print(line, flush=True)
    ratios = []
    for _ in range(args.pairs):
        plain = run("-", size, args.steps, args.python, folder)["cpu"]
        ratios.append(run(str(HOOK), size, args.steps, args.python, folder)["cpu"] / plain)
    if ratios:
        print(f"  pairs, recorded beside plain: {', '.join(f'{one:.3f}' for one in ratios)}", flush=True)
    return kept


if __name__ == "__main__":
    sys.exit(main())
