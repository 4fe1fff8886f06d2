"""What `envpin record` costs: before the command starts, while it trains, at each save. Ratios beside a plain run.

    .venv/bin/python benchmarks/record.py PYTHON [ROUNDS]

PYTHON is an interpreter of a training environment (torch, transformers, peft). Rounds alternate plain and recorded.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests" / "support" / "training" / "tiny.py"
RECORD = [sys.executable, "-m", "envpin", "record", "--json", "--"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "",
               "TINY_STEPS": "300"}  # fmt: skip


def before_the_child() -> float:
    """Seconds from starting envpin to the first instruction of the child (`date +%s%N`)."""
    began = time.time_ns()
    ended = subprocess.run([*RECORD, "date", "+%s%N"], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return (int(ended.stdout.splitlines()[0]) - began) / 1e9


def bare_start() -> float:
    began = time.time_ns()
    ended = subprocess.run(["date", "+%s%N"], capture_output=True, text=True, check=True)
    return (int(ended.stdout) - began) / 1e9


def timed(command: list[str], folder: Path) -> tuple[float, str]:
    began = time.perf_counter()
    ended = subprocess.run(command, env=ENVIRONMENT, cwd=folder, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, ended.stdout


def start_cost(times: int) -> float:
    """Milliseconds before the child starts, beyond a plain start: the median."""
    return 1e3 * statistics.median(before_the_child() - bare_start() for _ in range(times))


def main(python: str, rounds: int) -> None:
    print(f"before the child starts   median {start_cost(10 * rounds):6.1f} ms   budget 80 ms")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(
            [python, str(TINY), "make", "base"], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True
        )
        command = [python, str(TINY), "loop", "base", "out"]
        plain: list[float] = []
        recorded: list[float] = []
        saves: list[float] = []
        for _ in range(rounds):
            plain.append(timed(command, folder)[0])
            took, said = timed([*RECORD, *command], folder)
            recorded.append(took)
            saves.append(json.loads(said[said.index("{") :])["slowest_save_seconds"])
    print(f"a save                    slowest {1e3 * max(saves):5.1f} ms   budget 300 ms")
    a, b = statistics.median(plain), statistics.median(recorded)
    print(f"a run of 300 steps        plain {a:.2f} s, recorded {b:.2f} s, ratio {b / a:.3f} (spread of the plain runs "
          f"{min(plain):.2f}–{max(plain):.2f} s)")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3)
