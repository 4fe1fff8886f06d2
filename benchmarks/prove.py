"""`envpin prove` beside deltalint 0.1.0, on merges of peft, of axolotl's own function and LLaMA-Factory's export:
right ones, and ones with a planted fault. Writes docs/reference/prove.md.

    pip install --no-deps --target DELTALINT deltalint==0.1.0
    pip download --no-deps axolotl==0.19.0 && unzip axolotl-0.19.0-*.whl -d AXOLOTL
    python benchmarks/prove.py DELTALINT --axolotl AXOLOTL --llamafactory PYTHON [--kept FOLDER] [--cells MODEL/KIND,…]
        [--markdown docs/reference/prove.md]

PYTHON is the interpreter of an environment with LLaMA-Factory 0.9.5. Both judges run in one process, on the same files,
with one thread. deltalint checks what its own page says: LoRA on linear layers and embeddings, and `modules_to_save`.
What it declines to judge counts as declined, not as wrong. Without an option, that program is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.faults import CAUGHT, NOT_MET, Line, measure, run
from tests.support import environments

if TYPE_CHECKING:
    from collections.abc import Iterator

MERGERS = Path(__file__).with_name("mergers_inside.py")
# What axolotl 0.19.0 requires.
AXOLOTL = ("transformers==5.16.1", "peft==0.20.0", environments.TORCH, "accelerate", "safetensors")
# What a program's own function loses of an adapter, without a word: its merges of these are faults, not right ones.
LOSES = {
    ("axolotl 0.19.0", "llama/embedding"): "LoRA on the embedding left out",
    ("axolotl 0.19.0", "qwen2/lora-bias"): "trained biases left out",
}
PASSED, FAILED = "PASS", "FAIL"
ADAPTERS = "| prove: right merges | faults | deltalint: right merges | faults |"
Results = dict[str, tuple[Line, list[Line]]]


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


def judged(program: str, lines: list[Line]) -> list[Line]:
    """The lines, those of `LOSES` as the faults that they are."""
    found = []
    for line in lines:
        lost = LOSES.get((program, line["cell"].rpartition("/")[0]))
        # Places were counted from a wrong merge.
        told = line if lost is None else {name: value for name, value in line.items() if name != "places"}
        if lost is not None and line["kind"] == "healthy":
            status = "caught" if line["status"] == "false alarm" else "missed"
            told |= {"kind": "fault", "merge": f"{program}: {lost}", "status": status}
        found.append(told)
    return found


def row(name: str, lines: list[Line]) -> str:
    cells = [name]
    for judge in (ours, theirs):
        for kind in ("healthy", "fault"):
            found = Counter(judge(line) for line in lines if line["kind"] == kind)
            left = [f"{found[word]} {word}" for word in ("wrong way", "declined") if found[word]]
            cells.append(", ".join([f"{found['right']} of {sum(found.values())}", *left]))
    return f"| {' | '.join(cells)} |"


def met(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line["status"] not in NOT_MET]


def by_kind(results: Results) -> Iterator[str]:
    groups: dict[str, list[Line]] = defaultdict(list)
    for _, lines in results.values():
        for line in met(lines):
            groups[line["cell"].rpartition("/")[0]].append(line)
    yield f"| adapter {ADAPTERS}"
    yield "|---|---|---|---|---|"
    yield from (row(name, members) for name, members in groups.items())
    within = [
        one for members in groups.values() if all(theirs(one) != "declined" for one in members) for one in members
    ]
    yield row("where deltalint never declines", within)


def by_fault(lines: list[Line]) -> Iterator[str]:
    """What each of the two calls a planted fault, and whether the tensors that prove names are those that differ."""
    groups: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line["kind"] == "fault":
            groups[line["merge"]].append(line)
    yield "| planted fault | merges | prove: caught | named | deltalint: caught | named |"
    yield "|---|---|---|---|---|---|"
    for fault, members in sorted(groups.items()):
        cells = [fault, str(len(members))]
        for judge, names in ((ours, _our_names), (theirs, _their_names)):
            named = Counter(name for line in members if judge(line) == "right" for name in names(line))
            cells.append(str(sum(judge(line) == "right" for line in members)))
            cells.append(", ".join(f"`{name}`" for name, _ in named.most_common(2)))
        yield f"| {' | '.join(cells)} |"


def _our_names(line: Line) -> list[str]:
    return line["causes"]


def _their_names(line: Line) -> list[str]:
    return line["deltalint"].get("named", [])


def places(lines: list[Line]) -> str:
    """Whether the tensors that prove names are those that have other bits than the right merge."""
    known = [line["places"] for line in lines if line["kind"] == "fault" and ours(line) == "right" and "places" in line]
    exact = sum(one["named"] == one["differ"] and not one["outside"] for one in known)
    inside = sum(not one["outside"] for one in known)
    return (
        f"Of {len(known)} caught faults whose tensors were counted, prove named exactly the tensors that have other "
        f"bits than the right merge in {exact}, and no other tensor in {inside}; those that it leaves out are within "
        "what rounding explains."
    )


def page(results: Results) -> str:
    whole = [line for _, lines in results.values() for line in met(lines)]
    versions = "; ".join(
        f"{name} with " + ", ".join(f"{package} {version}" for package, version in about.items())
        for name, (about, _) in results.items()
    )
    written = f"Written by `python benchmarks/prove.py` on a CPU ({versions}; deltalint 0.1.0)."
    wrong = Counter(f"{line['kind']}: {line['merge']}" for line in whole if theirs(line) == "wrong way")
    mistaken = [f"- {line['cell']}, {line['merge']}: {line['status']}" for line in whole if ours(line) != "right"]
    lines = [
        "# `envpin prove` next to deltalint",
        "",
        f"{written} {_METHOD}",
        "",
        f"| merged by {ADAPTERS}",
        "|---|---|---|---|---|",
        *(row(name, met(found)) for name, (_, found) in results.items()),
        row("all", whole),
        "",
        *(mistaken or ["`prove` judged none of them the wrong way, and declined none."]),
        "",
        *(
            f"{name} loses something of an adapter of the kind {kind}: {what}. `prove` named that each time."
            for (name, kind), what in LOSES.items()
            if name in results
        ),
        *("", figures(whole), "", places(whole), "", "## By kind of adapter", "", *by_kind(results)),
        *("", "## By planted fault", "", *by_fault(whole), "", "## What deltalint judged the wrong way", ""),
        *(f"- {count} × {words}" for words, count in wrong.most_common()),
    ]
    return "\n".join(lines) + "\n"


_METHOD = (
    "Tiny models. A program's own function makes its merges: right ones, and ones for which it is given another base, "
    "another adapter, another scale and so on; the other faults are done to the merged files. What deltalint declines "
    "to judge is told apart from what it judges the wrong way."
)


def figures(lines: list[Line]) -> str:
    seconds = [sum(line["s"] for line in lines), sum(line["deltalint"].get("s", 0.0) for line in lines)]
    both = [line for line in lines if line["kind"] == "fault" and theirs(line) == ours(line) == "right"]
    mine = sum(line["status"] == "caught" for line in both)
    told = sum(bool(set(_their_names(line)) - {"UNEXPLAINED"}) for line in both)
    return (
        f"Seconds for all, with one thread: prove {seconds[0]:.0f}, deltalint {seconds[1]:.0f}. Of {len(both)} faults "
        f"that both caught, prove named the planted cause in {mine}, and deltalint gave {told} a name."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deltalint", type=Path)
    parser.add_argument("--axolotl", type=Path, metavar="FOLDER")
    parser.add_argument("--llamafactory", type=Path, metavar="PYTHON")
    parser.add_argument("--environment", default="latest")
    parser.add_argument("--cells")
    parser.add_argument("--kept", type=Path, help="where whole cells are kept, and taken from")
    parser.add_argument("--markdown", type=Path, help="write the page there")
    args = parser.parse_args()
    found = {"peft": measure(args.environment, args.cells, args.deltalint, kept=args.kept)}
    ask = partial(run, cells=args.cells, deltalint=args.deltalint, kept=args.kept)
    if args.axolotl:
        python = environments.literal(*AXOLOTL).python
        found["axolotl 0.19.0"] = ask(python, MERGERS, "axolotl", "axolotl", str(args.axolotl.absolute()))
    if args.llamafactory:
        python = args.llamafactory.absolute()
        found["LLaMA-Factory 0.9.5"] = ask(python, MERGERS, "llamafactory", "llamafactory", "-")
    results: Results = {name: (lines[0], judged(name, lines[1:])) for name, lines in found.items()}
    text = page(results)
    print(text)
    if args.markdown:
        args.markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
