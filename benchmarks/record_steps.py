"""What recording takes of a training of 200 steps and of each save, beside the run itself.

    .venv/bin/python benchmarks/record_steps.py PYTHON [--steps 200] [--pairs 5] [--size tiny|small|wide|deep|real …]
                                                [--json FILE]

PYTHON is an interpreter of a training environment (torch, transformers, peft). Each pair is three whole trainings, each
in a fork of one process that has the packages loaded: plain, recorded, plain. The recorded one is held against the mean
of its neighbours, the two plain ones against each other: that is the noise. Beside that the hook is timed inside the
run, around each of its doors, which a busy machine blurs less. Ends with 1 where a budget is exceeded.
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
    "real": Size(512, 32, 16, 80),  # as many, of 100 MB
}


def train(turns: str, size: Size, steps: int, python: str, folder: Path) -> list[dict[str, Any]]:
    """What each of the trainings told, `p`lain or `r`ecorded."""
    words = [python, str(INSIDE), str(HOOK), turns, str(folder), str(steps), *map(str, size)]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(name: str, steps: int, pairs: int, python: str) -> dict[str, Any]:
    """The figures of one size: medians over the pairs."""
    size = SIZES[name]
    with tempfile.TemporaryDirectory() as folder:
        runs = train("prp" * pairs, size, steps, python, Path(folder))
    plain, recorded = [one for at, one in enumerate(runs) if at % 3 != 1], runs[1::3]
    found: dict[str, Any] = {"size": name, **size._asdict(), "steps": steps, "pairs": pairs,
                             "load": round(os.getloadavg()[0], 1)}  # fmt: skip
    for clock in ("wall", "cpu"):
        beside = [one[clock] * 2 / (a[clock] + b[clock]) - 1
                  for a, one, b in zip(runs[::3], recorded, runs[2::3], strict=True)]  # fmt: skip
        noise = [b[clock] / a[clock] - 1 for a, b in zip(runs[::3], runs[2::3], strict=True)]
        found[clock] = {"step_ms": 1e3 * statistics.median(one[clock] for one in plain) / steps,
                        "recorded": beside, "plain": noise}  # fmt: skip
    during = [_during(one) for one in recorded]
    found["hook_us"] = 1e6 * statistics.median(during) / steps
    found["share"] = statistics.median(took / one["cpu"] for took, one in zip(during, recorded, strict=True))
    saves = [_saves(one) for one in recorded]
    found["save_ms"] = 1e3 * statistics.median(took for one in saves for took, _ in one)
    found["slowest_save_ms"] = 1e3 * max(took - hashing for one in saves for took, hashing in one)
    found["adapter_mb"] = recorded[0]["adapter_mb"]
    return found


def _during(run: dict[str, Any]) -> float:
    """CPU seconds of the hook while it trained."""
    doors = {key: sum(times) for key, times in run["doors_cpu"].items()}
    return sum(took for key, took in doors.items() if key != _SAVING and not key.startswith(_BEFORE))


def _saves(run: dict[str, Any]) -> list[tuple[float, float]]:
    """Of each save, its CPU seconds and those of its hashing."""
    return list(zip(run["doors_cpu"][_SAVING], run["saves_hashing"], strict=True))


def row(found: dict[str, Any]) -> str:
    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):+.1%} ({min(values):+.1%} to {max(values):+.1%})"

    cells = [
        f"{found['size']}: hidden {found['hidden']}, {found['layers']} layers, rank {found['rank']}",
        f"{found['cpu']['step_ms']:.1f} ms", f"{found['hook_us']:.0f} µs", f"{found['share']:.2%}",
        spread(found["cpu"]["recorded"]), spread(found["cpu"]["plain"]),
        spread(found["wall"]["recorded"]), spread(found["wall"]["plain"]),
        f"{found['slowest_save_ms']:.1f} ms",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--size", action="append", choices=list(SIZES))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print("| run | step (CPU) | hook a step | share | CPU beside plain | plain beside plain | wall beside plain | "
          "plain beside plain | slowest save beyond hashing |\n|" + "---|" * 9)  # fmt: skip
    done = []
    for name in args.size or [one for one in SIZES if one != "real"]:
        done.append(measured(name, args.steps, args.pairs, args.python))
        print(row(done[-1]), flush=True)
    print(f"\n{args.steps} steps; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if args.json:
        held = json.loads(args.json.read_text()) if args.json.exists() else {}
        held |= {one["size"]: one for one in done}
        args.json.write_text(json.dumps(held, indent=1) + "\n")
    return int(any(one["share"] > SHARE or one["slowest_save_ms"] > 1e3 * SAVE for one in done))


if __name__ == "__main__":
    sys.exit(main())
