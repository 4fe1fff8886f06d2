"""`infer` over adapters that real releases of peft wrote: truth, what was inferred, and how wide.

    python benchmarks/infer_eras.py                    over the kept files of tests/data/eras, in seconds
    python benchmarks/infer_eras.py --remake FOLDER    makes every adapter anew in FOLDER first, each in an environment
                                                       of its own time (some 15 minutes, 2 GB)

`as left` is what the HF Trainer leaves; `card gone` the same without its README.md; `config alone` is what peft's own
save_pretrained leaves, without its card and without the base. A width counts minor releases.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.eras import DATA, ERAS, make

from envpin.inference.infer import Inferred, judge
from envpin.inference.observe import Observed, observe
from envpin.inference.versions import known_releases
from envpin.matrix.load import load_matrix
from envpin.matrix.support import load_support

KNOWN, SUPPORT, MATRIX = known_releases(), load_support(), load_matrix()
PACKAGES = ("peft", "transformers")


def config_alone(observed: Observed) -> Observed:
    traces = replace(observed.traces, card=None, classes=(), names=frozenset({"adapter_config.json"}))
    return Observed(traces=traces, folder=observed.folder, adapter_config=observed.adapter_config)


def answers(folder: Path) -> dict[str, Inferred]:
    run, plain = observe(folder / "run"), observe(folder / "plain")
    variants = {"as left": run, "card gone": replace(run, cards=()), "config alone": config_alone(plain)}
    return {name: judge(one, KNOWN, SUPPORT, MATRIX) for name, one in variants.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--remake", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    root = DATA
    if args.remake is not None:
        root = args.remake.absolute()
        for era in ERAS:
            make(era, root)
    widths: dict[tuple[str, str], list[int]] = {}
    wrong = 0
    print("| package | truth | as left | card gone | config alone |")
    print("|---|---|---|---|---|")
    for package in PACKAGES:
        for era in ERAS:
            truth = json.loads((root / era / "truth.json").read_text())[package]
            cells = []
            for variant, found in answers(root / era).items():
                one = found.ranges[package]
                if not found.tells(package):
                    cells.append("no signal")
                    continue
                width = len(KNOWN[package].minors(one.versions))
                widths.setdefault((package, variant), []).append(width)
                wrong += truth not in one.versions
                mark = "" if truth in one.versions else " WRONG"
                cells.append(f"{KNOWN[package].describe(one.versions)} ({width}){mark}")
            print(f"| {package} | {truth} | {' | '.join(cells)} |")
    print()
    for (package, variant), found in widths.items():
        print(f"{package}, {variant}: {len(found)} answers, median width {median(found):g}, widest {max(found)}")
    print(f"truth outside the answer: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
