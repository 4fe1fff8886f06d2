"""What `diagnose` says of whole logs of strangers' programs, run in other environments than their own:
`python benchmarks/wild_runs.py [--misses]`.

Each entry of `tests/data/runs/*.toml` is a run that was made for real; its cause is known by experiment: what was
changed from an environment in which the program works, and what alone repairs it. `first.toml` was read while rules
were written, `second.toml` is of other repositories and was judged and committed before its first run. An answer is
right where the code that was judged is among those named, or nothing is named where nothing must be; where no code of
the catalogue fits ("?"), nothing may be named but what the judge said would help as well. Where a release is to blame,
it is counted apart whether the answer also names the package that was changed.
"""

from __future__ import annotations

import argparse
import io
import re
import tomllib
from pathlib import Path

from envpin.diagnose.logs.reader import diagnose_log

DATA = Path(__file__).resolve().parents[1] / "tests" / "data" / "runs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--misses", action="store_true")
    args = parser.parse_args()
    for path in sorted(DATA.glob("*.toml")):
        runs = tomllib.loads(path.read_text(encoding="utf-8"))["run"]
        count = dict.fromkeys(("right", "silent", "another", "helps", "blame", "blamed"), 0)
        misses = []
        for run in runs:
            codes, text = answered(run["log"])
            good = run["code"] in codes or not (run["code"].strip("?") or codes - {*run.get("also", ())})
            count["right"] += good
            count["silent"] += not good and not codes
            count["another"] += not good and bool(codes)
            count["helps"] += not good and bool(codes & {*run.get("also", ())})
            count["blame"] += good and bool(run["package"])
            count["blamed"] += good and bool(run["package"]) and names(text, run["package"])
            if not good:
                named = ", ".join(sorted(codes)) or "nothing"
                misses.append(f"  miss: {run['name']}: {run['code'] or 'nothing'}, named {named}")
        print(
            f"{path.name}: {len(runs)} runs of {len({one['program'].partition('@')[0] for one in runs})} repositories, "
            f"{count['right']} right, {count['silent']} silent, {count['another']} another cause "
            f"({count['helps']} of them one that helps as well); the package to blame is named in {count['blamed']} of "
            f"{count['blame']}"
        )
        if args.misses:
            print("\n".join(misses))


def answered(log: str) -> tuple[set[str], str]:
    """The codes named, and every sentence of the answer."""
    findings = diagnose_log(io.BytesIO(log.encode())).findings
    return {one.code for one in findings}, "\n".join(f"{one.message} {' '.join(one.fix)}" for one in findings)


def names(text: str, package: str) -> bool:
    """Whether an answer names a package, however its name is spelt."""
    spelt = "[-_]".join(map(re.escape, re.split("[-_]", package)))
    return re.search(rf"(?i)\b{spelt}\b", text) is not None


if __name__ == "__main__":
    main()
