"""The engine `stream` against peft's own merge, bit for bit: six eras of peft x kinds of adapter x dtypes x layouts.

    python benchmarks/grid.py [--scratch DIR] [--markdown FILE] [--only PIECES/OF/A/CELL] [ERA ...]

Builds a plain environment for each era (uv, the user's index), runs grid_inside.py in it, and prints one table: a row
for each kind and model, a column for each era. Cells that are not `identical` are listed below with their reason. The
whole takes about half an hour on two cores; `--markdown docs/reference/streaming-grid.md` writes the committed page.
Ends with 1 where a cell failed, or differs without being one of the tied layers of docs/adr/0031.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from merge import WORKERS, environment

INSIDE = Path(__file__).with_name("grid_inside.py")
TORCH = ("torch==2.13.0", "safetensors", "accelerate", "numpy")
ERAS = {
    "0.10": ("transformers==4.40.2", "peft==0.10.0", *TORCH),
    "0.12": ("transformers==4.43.1", "peft==0.12.0", *TORCH),
    "0.14": ("transformers==4.47.1", "peft==0.14.0", *TORCH),
    "0.15": ("transformers==4.51.3", "peft==0.15.2", *TORCH),
    "0.18": ("transformers==4.57.1", "peft==0.18.0", *TORCH),
    "0.21": ("transformers==5.23.0", "peft==0.21.2", *TORCH),
}
MARKS = {
    "identical": "=",
    "identical-in-pefts-dtypes": "≈",
    "identical-after-cast": "~",
    "differs": "≠",
    "falls-back": "p",
    "absent": "·",
    "error": "E",
}
MEANINGS = {
    "identical": "every tensor that `merge_and_unload()` leaves, to the bit",
    "identical-in-pefts-dtypes": "to the bit with `--dtype peft`; with the default each of peft's float32 leftovers is "
    "rounded once to the base's dtype",
    "identical-after-cast": "equal only once peft's float32 leftovers are rounded",
    "differs": "on purpose, see below and [ADR 31](../adr/0031-untie-what-training-untied.md)",
    "falls-back": "merged by the engine `peft`",
    "absent": "peft itself cannot make, load or merge such an adapter there",
    "error": "the engine failed",
}
TIED = "peft's merge changes the tied partner of the trained layer too, and no longer answers as trained"


def run(era: str, scratch: Path, only: str) -> Path:
    result = scratch / f"grid-{era}.jsonl"
    python = environment(scratch, f"peft{era}", ERAS[era])
    command = [str(python), str(INSIDE), str(WORKERS), str(scratch / f"grid-{era}"), str(result), only]
    log = scratch / f"grid-{era}.log"
    with log.open("wb") as stream:
        if subprocess.run(command, check=False, stdout=stream, stderr=stream).returncode:
            raise SystemExit(f"{era}: grid_inside.py failed; its output is in {log}")
    return result


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    about, *cells = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return about, cells


def markdown(results: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]) -> str:
    marks: dict[tuple[str, str], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    notes: dict[tuple[str, str], list[str]] = defaultdict(list)
    total: Counter[str] = Counter()
    for era, (_, cells) in results.items():
        for cell in cells:
            model, kind, *layout = cell["cell"].split("/")
            marks[model, kind][era][cell["status"]] += 1
            total[cell["status"]] += 1
            if cell["status"] != "identical":
                notes[cell["status"], reason(cell)].append(f"{era} {model}/{kind} {'/'.join(layout)}")
    lines = [
        "# The streaming engine against peft, bit for bit",
        "",
        head([about for about, _ in results.values()], "grid.py --markdown docs/reference/streaming-grid.md")
        + " A number counts layouts: dtype of the base, single file or sharded, tied or not. An empty field: "
        "transformers has no such model there.",
        "",
        "| | cells | |",
        "|---|---|---|",
    ]
    lines += [f"| {MARKS[one]} | {total[one]} | {MEANINGS[one]} |" for one in MARKS if total[one]]
    lines.append("")
    if not total["falls-back"]:
        lines += ["No cell falls back to the engine `peft`.", ""]
    lines += ["| model | adapter | " + " | ".join(results) + " |", "|---|---|" + "---|" * len(results)]
    for (model, kind), by_era in marks.items():
        row = [shown(by_era.get(era, Counter())) for era in results]
        lines.append(f"| {model} | {kind} | " + " | ".join(row) + " |")
    lines += ["", "Cells other than `=`, by reason:", ""]
    for (status, why), where in sorted(notes.items()):
        examples = ", ".join(where[:3]) + (f" and {len(where) - 3} more" if len(where) > 3 else "")
        lines.append(f"- **{MARKS[status]}** {why}: {examples}")
    return "\n".join(lines)


def head(versions: list[dict[str, Any]], command: str) -> str:
    today = dt.datetime.now(dt.UTC).date()
    pefts, transformers = (", ".join(one[name] for one in versions) for name in ("peft", "transformers"))
    return (
        f"Written by `python benchmarks/{command}` on {today}: torch {versions[0]['torch']} on the CPU; peft {pefts} "
        f"with transformers {transformers}."
    )


def shown(found: Counter[str]) -> str:
    return " ".join(
        f"{MARKS[status]}{count}" if status != "absent" else MARKS[status] for status, count in found.items()
    )


def reason(cell: dict[str, Any]) -> str:
    if cell["status"] == "identical-in-pefts-dtypes":
        if cell["cell"].startswith("t5/") and "DenseReluDense.wo" in cell["reason"].partition(" ")[0]:
            return "transformers loads T5's `wo` in float32 from a float16 base"
        return "peft leaves the merged weights in float32"
    if cell["status"] == "differs" and is_better(cell):
        return TIED
    return re.sub(r"Please open an issue.*|'[^']*/[^']*'", "…", str(cell["reason"]))[:160]


def is_better(cell: dict[str, Any]) -> bool:
    """Whether ours answers as the adapter does, and peft's merge does not."""
    ratios = cell.get("ratio"), cell.get("peft_ratio")
    return None not in ratios and ratios[0] < 0.1 < ratios[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eras", nargs="*", default=list(ERAS), metavar="ERA", help=f"of {', '.join(ERAS)}")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "envpin-benchmark")
    parser.add_argument("--only", default="", help="pieces of cell names, such as llama/bf16/tied")
    parser.add_argument("--read", action="store_true", help="only read what earlier runs left in the scratch folder")
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    results = {}
    for era in args.eras:
        results[era] = read(args.scratch / f"grid-{era}.jsonl" if args.read else run(era, args.scratch, args.only))
    text = markdown(results)
    print(text)
    if args.markdown:
        args.markdown.write_text(text + "\n", encoding="utf-8")
    cells = [cell for _, found in results.values() for cell in found]
    wrong = [one for one in cells if one["status"] in {"error", "identical-after-cast"}]
    wrong += [one for one in cells if one["status"] == "differs" and not is_better(one)]
    if wrong or not cells:
        raise SystemExit(f"{len(wrong)} of {len(cells)} cells are not as they should be: {wrong[:3]}")


if __name__ == "__main__":
    main()
