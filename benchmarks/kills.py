"""Commands killed with SIGKILL at random moments: is anything half-written, alive, or left lying about?

    python benchmarks/kills.py [--kills 1000] [--seed 0] [--only NAME,...]

The kills are spread over env create, env verify, record, bisect, sweep and merge, as `SHARES` says. After each, no
result may be half there and no process of envpin may live a second later; every sixth or tenth time the command then
runs to its end, its result must be whole, and no temporary file or folder of the killed ones may be there any more.
For half of the kills of `record` its whole process group is killed; else the controller alone, and the run goes on.
Anything wrong ends the benchmark with status 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.support.killing import VICTIMS, Tally, kill_often

# Of a thousand: what is killed in half a second gets most of them.
SHARES = {"env create": 300, "env verify": 250, "record": 250, "bisect": 60, "sweep": 80, "merge": 60}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(SHARES))
    options = parser.parse_args()
    total = Tally()
    print("| command | kills | whole runs | half-written | alive after a second | left after the next start | faults |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for kind in VICTIMS:
        if kind.name not in options.only.split(","):
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="kills-") as folder:
            victim = kind(Path(folder) / "victim")
            kills = max(1, round(SHARES[kind.name] * options.kills / 1000))
            try:
                tally = kill_often(victim, kills, random.Random(f"{options.seed}/{kind.name}"))
            finally:
                victim.close()
        total.update(tally)
        figures = " | ".join(str(tally[name]) for name in ("kills", "whole", *Tally.WRONG))
        print(f"| {kind.name} | {figures} |", flush=True)
        print(f"{kind.name}: {time.monotonic() - began:.0f} s", *dict.fromkeys(tally.said), sep="\n", file=sys.stderr)
    print("| all | " + " | ".join(str(total[name]) for name in ("kills", "whole", *Tally.WRONG)) + " |")
    return 0 if total.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
