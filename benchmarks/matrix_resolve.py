"""What `envpin --help` and `envpin matrix resolve` take beyond a bare interpreter (budgets: 30 ms and 40 ms).

    .venv/bin/python benchmarks/matrix_resolve.py [ROUNDS]

Rounds alternate the commands, so that a busy machine burdens all alike; the best of each counts. `cpu` is what a
process used itself, hardly touched by other work; `wall` is what a person waits. Bytecode is cached, as it is in an
installed envpin. `first` is a resolve without the cache of the matrix, as after an update or an edit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "tests" / "data" / "configs"
ENVPIN = [sys.executable, "-m", "envpin"]


def once(command: list[str], variables: dict[str, str]) -> tuple[float, float]:
    """CPU and wall seconds of a process, to its end."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=variables)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    assert status == 0, command
    return used.ru_utime + used.ru_stime, wall


BARE = "python -c pass"


def measure(rounds: int) -> dict[str, tuple[float, float]]:
    """Milliseconds on the processor and by the clock of each command: the best of all rounds."""
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as bytecode:
        variables = {**os.environ, "ENVPIN_HOME": home, "ENVPIN_MATRIX": "", "PYTHONPYCACHEPREFIX": bytecode}
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        llama = str(CONFIGS / "meta-llama--Meta-Llama-3.1-8B-Instruct.json")
        commands = {
            BARE: [sys.executable, "-c", "pass"],
            "envpin --help": [*ENVPIN, "--help"],
            "envpin matrix resolve CONFIG": [*ENVPIN, "matrix", "resolve", llama],
            "envpin matrix resolve NAME": [*ENVPIN, "matrix", "resolve", "Qwen/Qwen2.5-7B-Instruct"],
        }
        for command in commands.values():
            once(command, variables)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                taken[name].append(once(command, variables))
        with tempfile.TemporaryDirectory() as fresh:
            first = once(commands["envpin matrix resolve CONFIG"], {**variables, "ENVPIN_HOME": fresh})
        found = {name: (min(one[0] for one in runs), min(one[1] for one in runs)) for name, runs in taken.items()}
        found["first, without the cache"] = first
        return {name: (cpu * 1e3, wall * 1e3) for name, (cpu, wall) in found.items()}


def main(rounds: int) -> None:
    found = measure(rounds)
    bare = found[BARE]
    print(f"best of {rounds}                        cpu ms   beyond bare   wall ms   beyond bare")
    for name, (cpu, wall) in found.items():
        print(f"{name:30} {cpu:8.1f} {cpu - bare[0]:13.1f} {wall:9.1f} {wall - bare[1]:13.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 25)
