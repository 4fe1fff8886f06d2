"""How the search compares with the real `git bisect` on the same synthetic histories.

    python benchmarks/bisect_search.py [--histories 200] [--size 180] [--only SCENARIO…] [--without-git] [--json FILE]

Each scenario draws histories with a known truth. envpin's search runs on the simulator; git runs `git bisect run` on a
repository with one commit per release, with a test script that answers as the history says (0, 1, or 125 for a release
that cannot be tested). Neither installs anything. The last rows ask what other noise does, and what happens where a
noisy command was declared `--repeatable`, a promise that its user broke.

A *wrong* answer names a release that is not where the state changes; git's answer after skips ("could be any of")
counts as right when the culprit is among them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.support.histories import SCENARIOS, History, Scenario, make, plain, search, wrong

from envpin.bisect.search.search import repeatable as repeatable_problem

# How often a run shows the new state in the new and in the old releases, besides the 0.7 and 0.05 of "flaky tests".
RATES = ((0.3, 0.0), (0.5, 0.0), (0.9, 0.0), (0.97, 0.0), (0.95, 0.05), (1.0, 0.1), (1.0, 0.02))


@dataclass
class Tally:
    runs: list[int] = field(default_factory=list)
    named: int = 0
    ranges: int = 0
    other: int = 0
    wrong: int = 0
    wrong_certain: int = 0

    def row(self) -> dict[str, float]:
        total = len(self.runs)
        return {
            "mean_runs": round(sum(self.runs) / total, 1),
            "max_runs": max(self.runs),
            "named": self.named,
            "range": self.ranges,
            "other": self.other,
            "wrong": self.wrong,
            "wrong_called_certain": self.wrong_certain,
        }


def ours(
    scenario: Scenario, histories: int, size: int, *, repeatable: bool, rates: tuple[float, float] | None = None
) -> Tally:
    tally = Tally()
    problem = repeatable_problem((1.0,) * size, (1.0,) * size) if repeatable else plain(size)
    for seed in range(histories):
        history = make(scenario, seed, size)
        if rates is not None:
            history = History(new=history.new, shows_new=rates[0], shows_old=rates[1], seed=seed)
        conclusion, seen = search(problem, history)
        tally.runs.append(len(seen))
        tally.named += conclusion.kind == "named"
        tally.ranges += conclusion.kind == "range"
        tally.other += conclusion.kind not in {"named", "range"}
        tally.wrong += wrong(conclusion, history)
        tally.wrong_certain += conclusion.certain and wrong(conclusion, history)
    return tally


def git(folder: Path, *arguments: str, check: bool = True) -> str:
    environment = {
        **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
    }  # fmt: skip
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=check, capture_output=True, text=True)
    return done.stdout


def repository(folder: Path, size: int) -> list[str]:
    """A linear history of empty commits, oldest first."""
    git(folder, "init", "-q", "-b", "main")
    stream = []
    for index in range(size):
        stream.append(
            f"commit refs/heads/main\nmark :{index + 1}\ncommitter a <a@example.org> {1600000000 + index} +0000"
        )
        stream.append(f"data {len(str(index))}\n{index}")
    text = "\n".join(stream) + "\n"
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=text, check=True, text=True)
    return git(folder, "rev-list", "--reverse", "main").split()


# Each run takes the next answer drawn for its release, so that a noisy release answers differently each time.
SCRIPT = """#!/bin/sh
index=$(git log -1 --format=%s BISECT_HEAD)
echo "$index" >> "$ANSWERS/runs"
line=$(sed -n "$((index + 1))p" "$ANSWERS/table")
exit "$line"
"""


def git_bisect(scenario: Scenario, histories: int, size: int) -> Tally:
    """The real thing, `git bisect run`, on the same histories. Git trusts both ends without running them."""
    tally = Tally()
    status = {"before": "0", "after": "1", "untestable": "125"}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as root:  # noqa: S108
        folder, answers = Path(root, "repository"), Path(root, "answers")
        folder.mkdir()
        answers.mkdir()
        commits = repository(folder, size)
        position = {commit: index for index, commit in enumerate(commits)}
        script = Path(root, "probe.sh")
        script.write_text(SCRIPT)
        script.chmod(0o755)
        os.environ["ANSWERS"] = str(answers)
        for seed in range(histories):
            history = make(scenario, seed, size)
            (answers / "table").write_text("\n".join(status[history.run(index)] for index in range(size)) + "\n")
            (answers / "runs").write_text("")
            git(folder, "bisect", "start", "--no-checkout", commits[-1], commits[0])
            said = git(folder, "bisect", "run", str(script), check=False)
            git(folder, "bisect", "reset", check=False)
            tally.runs.append(len((answers / "runs").read_text().split()))
            judge(tally, said, position, history)
    return tally


def judge(tally: Tally, said: str, position: dict[str, int], history: History) -> None:
    first = [line.split()[0] for line in said.splitlines() if line.endswith("is the first bad commit")]
    candidates = [line.strip() for line in said.splitlines() if line.strip() in position]
    if first:
        tally.named += 1
        miss = position[first[0]] not in history.breaks()
        tally.wrong += miss
        tally.wrong_certain += miss  # git has no other way to say it
    elif candidates:
        tally.ranges += 1
        tally.wrong += not ({position[commit] for commit in candidates} & history.breaks())
    else:
        tally.other += 1


def show(name: str, tally: Tally) -> dict[str, float]:
    row = tally.row()
    print(
        f"  {name:42}{row['mean_runs']:>9}{row['max_runs']:>5}{row['named']:>7}{row['range']:>7}"
        f"{row['other']:>7}{row['wrong']:>7}{row['wrong_called_certain']:>10}", flush=True
    )  # fmt: skip
    return row


def further(histories: int, size: int) -> dict[str, dict[str, dict[str, float]]]:
    """A broken promise, and other noise."""
    broken = "flaky tests, declared repeatable"
    print(broken)
    results = {broken: {"envpin": show("envpin", ours("flaky tests", histories, size, repeatable=True))}}
    for new, old in RATES:
        title = f"{new:g} of the new state's runs fail, {old:g} of the old one's"
        print(title)
        tally = ours("no skips", histories, size, repeatable=False, rates=(new, old))
        results[title] = {"envpin": show("envpin, a command of unknown noise", tally)}
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=200)
    parser.add_argument("--size", type=int, default=180)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=SCENARIOS)
    parser.add_argument("--without-git", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures here; rows that were not run stay")
    options = parser.parse_args()
    results: dict[str, dict[str, dict[str, float]]] = {}
    if options.json and options.json.exists():
        results = json.loads(options.json.read_text())
    heading = "mean runs  max  named  range  other  wrong  wrong, called certain"
    print(f"{options.histories} histories of {options.size} releases each\n\n{'':44}{heading}")
    for scenario in options.only:
        begun = time.monotonic()
        rows = {
            "envpin, a command of unknown noise": ours(scenario, options.histories, options.size, repeatable=False),
        }
        if not options.without_git:
            rows["git bisect run"] = git_bisect(scenario, options.histories, options.size)
        if scenario != "flaky tests":  # a noisy test is not one that was declared repeatable
            rows["envpin, a repeatable probe"] = ours(scenario, options.histories, options.size, repeatable=True)
        print(f"{scenario}  ({time.monotonic() - begun:.0f} s)")
        results.setdefault(scenario, {}).update({name: show(name, tally) for name, tally in rows.items()})
    if tuple(options.only) == SCENARIOS:
        results |= further(options.histories, options.size)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
