"""What `diagnose` says of whole logs of strangers' programs, run in other environments than their own:
`python benchmarks/wild_runs.py [--misses]`.

Each entry of `tests/data/runs/*.toml` is a run that was made for real: what was changed from an environment in which
the program works, and, where another run was made, what alone repairs it. `first.toml` was read while rules were
written, `second.toml` and `third.toml` were judged and committed before their first run. What is right tells
`tests/support/judging.py`; where a release is to blame, it is counted apart whether the answer also names the package
that was changed. A log may have two causes of equal right where its experiment has one: answers that both judges
(`*_judge.tsv`) hold as right from the log alone are counted apart too.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.judging import Tally, held_by_both
from tests.support.logs import answer

DATA = ROOT / "tests" / "data" / "runs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--misses", action="store_true")
    args = parser.parse_args()
    for path in sorted(DATA.glob("*.toml")):
        runs = tomllib.loads(path.read_text(encoding="utf-8"))["run"]
        judges = [path.with_name(f"{path.stem}_{one}_judge.tsv") for one in ("first", "second")]
        tally, blame, blamed, equal, said = Tally(), 0, 0, held_by_both(*judges), 0
        for run in runs:
            codes, text = answered(run["log"])
            said += len(codes)
            if tally.add(run["name"], run, codes, equal.get(run["name"], set())) and run["package"]:
                blame += 1
                blamed += names(text, run["package"])
        repositories = len({one["program"].partition("@")[0] for one in runs})
        print(
            f"{path.name}: {len(runs)} runs of {repositories} repositories, {tally}; "
            + (f"{tally.right + tally.equal} right from the log alone by both judges; " if equal else "")
            + f"the package to blame is named in {blamed} of {blame}; {said / len(runs):.2f} causes an answer"
        )
        if args.misses:
            print("\n".join(tally.misses))


def answered(log: str) -> tuple[set[str], str]:
    """The codes named, and every sentence of the answer."""
    codes, text = answer(log)
    return set(codes), text


def names(text: str, package: str) -> bool:
    """Whether an answer names a package, however its name is spelt."""
    spelt = "[-_]".join(map(re.escape, re.split("[-_]", package)))
    return re.search(rf"(?i)\b{spelt}\b", text) is not None


if __name__ == "__main__":
    main()
