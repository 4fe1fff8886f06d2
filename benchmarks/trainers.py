"""Run real trainers on a CPU under `envpin record`, and repeat each with `replay train` from another folder.

    .venv/bin/python benchmarks/trainers.py [NAME…] [--work FOLDER] [--limit SECONDS] [--keep]

Each trainer gets an environment of its own and its recorded one is rebuilt: 1 to 2 GB each with a CPU build of torch
(UV_FIND_LINKS). NAME is one of tests/support/wild/trainers.py. Prints a row for each: what the preflight named when
the run was recorded, the verdict of the repeat, and what was left out of the rebuilt environment. Ends with 1 where a
repeat is not identical and its cause was not named beforehand.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from envpin.envs.uv.command import find_uv

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.support.environments import find_links
from tests.support.wheels import make_wheel
from tests.support.wild.both import adapter_of
from tests.support.wild.make import install, prepare, train
from tests.support.wild.trainers import TORCH, TRAINERS, Trainer

ENVPIN = [sys.executable, "-m", "envpin"]
NAMES = ("hf-trainer", "trl-1.16.0", "llamafactory-0.9.5", "ms-swift", "autotrain")
# Which causes of a repeat that parted are foretold by which codes of the preflight.
FORETOLD = {
    "seed": {"adapter-before-seed", "run-without-seed"},
    "data order": {"shuffled-by-global-generator", "loader-workers-unseeded", "run-without-seed"},
    "data": {"dataset-without-commit"},
}
_PREFLIGHT = re.compile(r"a repeat of this run may differ: ([\w, -]+)")
_LEFT_OUT = re.compile(r"left out: (\S+)")
HEAD = "| trainer | recorded in | preflight | repeated in | verdict | steps | adapter | cause | left out |"


def environment(trainer: Trainer, folder: Path) -> tuple[Path, dict[str, str]]:
    """The interpreter of the trainer's environment, and the variables with which its repeat is resolved.

    What the trainer imports and does not use is a wheel of ours, so that it is recorded and can be had again.
    """
    wheels = folder / "wheels"
    stubs = [make_wheel(wheels, name, TORCH.partition("==")[2]) for name in trainer.stubs]
    python = install(trainer, folder)
    links = [*find_links(), *([str(wheels)] if stubs else [])]
    variables = {**os.environ, "ENVPIN_HOME": str(folder / "home"), "UV_FIND_LINKS": ",".join(links)}
    for stub in stubs:
        (next((folder / "env" / "lib").glob("python*/site-packages")) / f"{stub.name.partition('-')[0]}.py").unlink()
    if stubs:  # by name: a distribution that was installed from a path cannot be had again
        words = ["--quiet", "--no-deps", "--no-index", "--find-links", str(wheels), *trainer.stubs]
        subprocess.run([str(find_uv().path), "pip", "install", "--python", str(python), *words], check=True)
    return python, variables


def repeated(adapter: Path, folder: Path, variables: dict[str, str], limit: float) -> dict[str, Any]:
    """What `replay train` answered, or why it gave no answer."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    words = ["replay", "train", str(adapter), "-o", "again", "--trust-script", "--skip", "--json"]
    began = time.monotonic()
    with (folder / "replay.log").open("w") as log:
        child = subprocess.Popen([*ENVPIN, *words], cwd=elsewhere, env=variables, stdout=subprocess.PIPE, stderr=log,
                                 text=True)  # fmt: skip
        try:
            told = child.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            child.terminate()
            child.communicate()
            return {"failed": f"no end within {limit:.0f} s", "seconds": limit}
    seconds = time.monotonic() - began
    answer = json.loads(told) if told else {}
    said = (folder / "replay.log").read_text()
    if "replay" not in answer:
        failed = answer.get("error", {}).get("message", said[-1000:])
        return {"failed": " ".join(failed.split()), "seconds": seconds}
    return {**answer["replay"], "seconds": seconds, "left": sorted(set(_LEFT_OUT.findall(said)))}


def row(name: str, folder: Path, limit: float) -> tuple[str, bool]:
    """A line of the table; and whether the repeat is identical, or its cause was named beforehand."""
    trainer = TRAINERS[name]
    python, variables = environment(trainer, folder)
    runs = folder / "runs"
    prepare(python, runs)
    began = time.monotonic()
    said = train(trainer, python, runs, before=[*ENVPIN, "record", "--"]).stderr
    took = time.monotonic() - began
    named = _PREFLIGHT.search(said)
    codes = named.group(1) if named else ""
    found = repeated(adapter_of(runs / trainer.leaves), folder, variables, limit)
    cells = [name, f"{took:.0f} s", codes or "nothing", f"{found['seconds']:.0f} s"]
    if "failed" in found:
        return f"| {' | '.join(cells)} | {found['failed']} | | | | |", False
    cause, left = found.get("cause"), ", ".join(found["left"])
    cells += [found["verdict"], str(found["steps"]), found["adapter"], cause or "", left]
    foretold = bool(FORETOLD.get(cause or "", set()) & set(codes.split(", ")))
    return f"| {' | '.join(cells)} |", found["verdict"] == "identical" or foretold


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*TRAINERS, []], default=list(NAMES))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "envpin-trainers"))
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds for a repeat, its environment included")
    parser.add_argument("--keep", action="store_true", help="leave environments and runs where they are")
    args = parser.parse_args()
    print(f"{HEAD}\n|{'---|' * 9}")
    good = True
    for name in args.names:
        folder = args.work / name
        shutil.rmtree(folder, ignore_errors=True)
        line, fine = row(name, folder, args.limit)
        good = good and fine
        print(line, flush=True)
        if not args.keep:
            shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
