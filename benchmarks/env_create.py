"""What the store costs over plain uv: a warm `env create` as a ratio to `uv venv` + `uv pip sync`, and reuse.

    python benchmarks/env_create.py [REF ...] [--runs N] [--json FILE]

REF defaults to the everyday environment of the tests (transformers, peft, torch and what they need). uv's cache is
warmed first, so nothing is downloaded while the clock runs; runs alternate and the median counts. Both sides start from
processes: `envpin env create` pays for its own start, its checks and its receipt. Reuse is the whole command where the
environment is ready. Where pip knows a folder of wheels (`PIP_FIND_LINKS`), uv is told of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REFS = ("transformers==4.43.1,peft==0.12.0,torch==2.13.0,accelerate,safetensors", "llama3.1")
BUDGET_RATIO, BUDGET_REUSE = 1.5, 0.060


def timed(command: list[str], environment: dict[str, str], *, settled: bool = False) -> float:
    """Seconds. With `settled` the disk first writes what is open: removing 18,000 files goes on for a while after it,
    and whoever is timed next would pay for it."""
    if settled:
        os.sync()
        time.sleep(0.3)
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return time.perf_counter() - began


def plain(uv: str, lock: Path, python: str, folder: Path, environment: dict[str, str]) -> float:
    """`uv venv` and `uv pip sync` as a person would call them, hashes enforced."""
    venv = folder / "plain"
    first = timed([uv, "venv", "--quiet", "--python", python, str(venv)], environment, settled=True)
    sync = [uv, "pip", "sync", "--quiet", "--preview-features", "pylock", "--require-hashes", "--no-build"]
    second = timed([*sync, "--python", str(venv / "bin" / "python"), str(lock)], environment)
    shutil.rmtree(venv)
    return first + second


def measure(ref: str, runs: int) -> dict[str, object]:
    from envpin.envs.uv.command import find_uv

    uv = str(find_uv().path)
    with tempfile.TemporaryDirectory(prefix="envpin-bench-", dir=os.environ.get("ENVPIN_BENCH_DIR")) as name:
        folder = Path(name)
        environment = {**os.environ, "ENVPIN_HOME": str(folder / "store")}
        if "PIP_FIND_LINKS" in os.environ:
            environment.setdefault("UV_FIND_LINKS", os.environ["PIP_FIND_LINKS"])
        envpin = [sys.executable, "-m", "envpin", "env"]
        create = [*envpin, "create", "--json", ref]
        timed(create, environment)  # resolves, fills uv's cache
        made = json.loads(subprocess.run(create, env=environment, capture_output=True, check=True).stdout)[
            "environment"
        ]
        reuse = [timed([*envpin, "create", ref], environment) for _ in range(max(runs, 10))]
        start = [timed([sys.executable, "-c", "pass"], environment) for _ in range(10)]
        verify = timed([*envpin, "verify", made["key"]], environment)
        lock = folder / "pylock.toml"
        shutil.copy(Path(made["path"]) / "pylock.toml", lock)
        ours: list[float] = []
        theirs: list[float] = []
        for run in range(runs):
            timed([*envpin, "prune", "--all"], environment)
            # Who comes second finds the files of uv's cache in memory: 0.1 s of 0.4. So each comes first in turn.
            if run % 2:
                theirs.append(plain(uv, lock, made["python"], folder, environment))
            ours.append(timed([*envpin, "create", ref], environment, settled=True))
            if not run % 2:
                theirs.append(plain(uv, lock, made["python"], folder, environment))
        # The median of the runs' own ratios: each pair ran in the same minute of the same machine.
        ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
        return {
            "ref": ref,
            "packages": made["packages"],
            "create_seconds": round(statistics.median(ours), 3),
            "plain_seconds": round(statistics.median(theirs), 3),
            "ratio": round(ratio, 2),
            "reuse_seconds": round(statistics.median(reuse), 3),
            "interpreter_seconds": round(statistics.median(start), 3),
            "verify_seconds": round(verify, 2),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("refs", nargs="*", metavar="REF", default=list(REFS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    results = [measure(ref, args.runs) for ref in args.refs]
    print(f"{'environment':<34} {'packages':>8} {'create':>8} {'plain uv':>9} {'ratio':>6} {'reuse':>8} {'verify':>8}")
    for one in results:
        print(
            f"{str(one['ref'])[:34]:<34} {one['packages']:>8} {one['create_seconds']:>6} s {one['plain_seconds']:>7} s "
            f"{one['ratio']:>6} {float(str(one['reuse_seconds'])) * 1000:>5.0f} ms {one['verify_seconds']:>6} s"
        )
    print(f"budgets: ratio ≤ {BUDGET_RATIO}, reuse ≤ {BUDGET_REUSE * 1000:.0f} ms (interpreter alone: "
          f"{float(str(results[0]['interpreter_seconds'])) * 1000:.0f} ms of it)")  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
