"""A search killed with SIGKILL at random moments, over and over, until it ends: does it repeat a finished probe?

    python benchmarks/bisect_kills.py [--rounds 20] [--seed 0] [--environments]

Each round searches 40 synthetic releases on a local index (with `--environments`: 25 changed packages with a planted
pair), with real uv. The whole process group is killed after a random time, from 0.05 s to what a whole search takes,
and the command is given again, until it ends by itself. A probe has finished once its line is in the log; the probe's
own command writes down each time that it runs. What ran more often than the log says, beyond the one run that each kill
may have cut short, was repeated. A wrong answer, a damaged log or a repeated probe ends the benchmark with status 1.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.support.bisecting import Answer, World
from tests.support.simple_index import SimpleIndex

PAIR = """
import part07, part19
if part07.number >= 3 and part19.number >= 6:
    raise RuntimeError("these two do not go together")
"""


def releases(world: World, source: random.Random) -> tuple[list[str], tuple[str, ...]]:
    """A series with a planted break: the command, and the words that the answer must hold."""
    first = source.randrange(1, 40)
    world.series("pkg", 40, first)
    command = ["pkg", "--good", "1.0", "--bad", "1.39", "--repeatable", "--json", *world.probe("pkg")]
    return command, (f'"last_good": "1.{first - 1}"', f'"first_bad": "1.{first}"')


def environments(world: World, _source: random.Random) -> tuple[list[str], tuple[str, ...]]:
    names = [f"part{number:02}" for number in range(25)]
    for name in names:
        for minor in range(10) if name in {"part07", "part19"} else (0, 9):
            world.publish(name, f"1.{minor}", code=f"number = {minor}\n")
    world.publish("app", "1.0", code=PAIR)
    good, bad = (",".join(["app==1.0", *(f"{name}==1.{minor}" for name in names)]) for minor in (0, 9))
    command = ["--good", good, "--bad", bad, "--repeatable", "--json", *world.probe("app")]
    return command, ('"first_bad": "1.3"', '"first_bad": "1.6"', '"proved": true')


def until_it_ends(world: World, command: list[str], source: random.Random, longest: float) -> tuple[str, int]:
    """What the last process said on stdout, and how many were killed before it."""
    kills = 0
    while True:
        child = world.start(*command)
        try:
            stdout, stderr = child.communicate(timeout=source.uniform(0.05, longest))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            kills += 1
            longest *= 1.05  # a machine that is too slow for its own figure still comes to the end
            continue
        if child.returncode != 0:
            raise SystemExit(f"status {child.returncode} after {kills} kills\n{stdout}\n{stderr}")
        return stdout, kills


def run_again(world: World) -> Counter[str]:
    """Runs of the probe beyond those in the log, by release."""
    logged = Counter(record.get("version", "-") for record in [*world.records(), *world.records("set")])
    return Counter(world.ran) - logged


def one_round(number: int, seed: int, *, changed: bool, longest: float) -> tuple[int, int, int]:
    source = random.Random(f"{seed}/{number}")
    with tempfile.TemporaryDirectory(prefix="envpin-kills-") as name, SimpleIndex() as index:
        world = World(index, Path(name))
        command, words = (environments if changed else releases)(world, source)
        stdout, kills = until_it_ends(world, command, source, longest)
        probes = len(world.records()) + len(world.records("set"))
        more = run_again(world)
        document = Answer(stdout, "").document
        wrong = [word for word in words if word not in stdout]
        if more.total() > kills or wrong or (not changed and document["probes"] != probes):
            raise SystemExit(f"round {number}: repeated {dict(more)}, missing {wrong} after {kills} kills\n{stdout}")
        return kills, probes, more.total()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--environments", action="store_true")
    parser.add_argument(
        "--longest", type=float, default=6.0, help="seconds after which a process is killed at the latest"
    )
    options = parser.parse_args()
    begun, total = time.monotonic(), Counter[str]()
    for number in range(options.rounds):
        kills, probes, cut = one_round(number, options.seed, changed=options.environments, longest=options.longest)
        total.update(kills=kills, probes=probes, cut=cut)
        print(f"round {number}: {kills} kills, {probes} probes in the log, {cut} cut short by a kill", flush=True)
    print(
        f"{options.rounds} searches, {total['kills']} kills, {total['probes']} finished probes, none repeated "
        f"({total['cut']} that a kill had cut short ran again), every answer right; "
        f"{time.monotonic() - begun:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
