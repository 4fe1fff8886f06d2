"""`envpin prove` beside deltalint 0.1.0 on the merges of benchmarks/faults.py: one row for each kind of adapter.

    pip install --no-deps --target DELTALINT deltalint==0.1.0
    python benchmarks/prove.py DELTALINT [--environment latest] [--cells MODEL/KIND,…] [-o lines.jsonl]

Both run in one process, on the same files, with one thread. deltalint checks what its own page says: LoRA on linear
layers and embeddings, and `modules_to_save`. What it declines to judge counts as declined, not as wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.faults import CAUGHT, NOT_MET, Line, measure

PASSED, FAILED = "PASS", "FAIL"


def ours(line: Line) -> str:
    """`right`, `wrong way` or `declined`."""
    if line["kind"] == "healthy":
        return {"right": "right", "not compared": "declined"}.get(line["status"], "wrong way")
    return "right" if line["status"] in CAUGHT else "declined" if line["status"] == "not compared" else "wrong way"


def theirs(line: Line) -> str:
    verdict = line["deltalint"]["verdict"]
    if verdict not in {PASSED, FAILED}:
        return "declined"
    return "right" if verdict == (PASSED if line["kind"] == "healthy" else FAILED) else "wrong way"


def row(name: str, lines: list[Line]) -> str:
    cells = [name]
    for judge in (ours, theirs):
        for kind in ("healthy", "fault"):
            found = Counter(judge(line) for line in lines if line["kind"] == kind)
            left = [f"{found[word]} {word}" for word in ("wrong way", "declined") if found[word]]
            cells.append(", ".join([f"{found['right']} of {sum(found.values())}", *left]))
    return f"| {' | '.join(cells)} |"


def tables(lines: list[Line]) -> list[str]:
    met = [line for line in lines if line["status"] not in NOT_MET]
    groups: dict[str, list[Line]] = defaultdict(list)
    for line in met:
        groups[line["cell"].rpartition("/")[0]].append(line)
    text = ["| adapter | prove: right merges | faults | deltalint: right merges | faults |", "|---|---|---|---|---|"]
    text += [row(name, members) for name, members in groups.items()]
    text.append(row("all", met))
    within = [line for line in met if all(theirs(one) != "declined" for one in groups[line["cell"].rpartition("/")[0]])]
    text += [row("where deltalint never declines", within), ""]
    seconds = [sum(line["s"] for line in met), sum(line["deltalint"].get("s", 0.0) for line in met)]
    text.append(f"seconds in all: prove {seconds[0]:.0f}, deltalint {seconds[1]:.0f}")
    missed = Counter(f"{line['kind']}: {line['merge']}" for line in met if theirs(line) == "wrong way")
    listed = [f"- {count} {words}" for words, count in missed.most_common()]
    text += ["", "what deltalint judged the wrong way:", *listed, ""]
    both = [line for line in met if line["kind"] == "fault" and theirs(line) == ours(line) == "right"]
    mine = sum(line["status"] == "caught" for line in both)
    told = sum(bool(set(line["deltalint"]["named"]) - {"UNEXPLAINED"}) for line in both)
    text.append(f"of {len(both)} faults that both caught, prove named {mine} rightly, deltalint gave {told} a name")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deltalint", type=Path)
    parser.add_argument("--environment", default="latest")
    parser.add_argument("--cells")
    parser.add_argument("-o", "--out", type=Path)
    args = parser.parse_args()
    about, *lines = measure(args.environment, args.cells, args.deltalint)
    print(*(f"{name} {version}" for name, version in about.items()))
    if args.out:
        args.out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    print(*tables(lines), sep="\n")


if __name__ == "__main__":
    main()
