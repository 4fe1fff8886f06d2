"""The engine `stream` against peft's own merge, bit for bit: six eras of peft x kinds of adapter x dtypes x layouts.

    python benchmarks/grid.py [--scratch DIR] [--markdown FILE] [--only PIECES/OF/A/CELL] [ERA ...]

Builds a plain environment for each era (uv, the user's index), runs grid_inside.py in it, and prints one table: a row
for each kind and model, a column for each era. Cells that are not `identical` are listed below with their reason.
"""

from __future__ import annotations

import argparse
import json
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
MARKS = {"identical": "=", "identical-after-cast": "≈", "differs": "≠", "falls-back": "p", "absent": "·", "error": "E"}


def run(era: str, scratch: Path, only: str) -> Path:
    result = scratch / f"grid-{era}.jsonl"
    python = environment(scratch, f"peft{era}", ERAS[era])
    command = [str(python), str(INSIDE), str(WORKERS), str(scratch / f"grid-{era}"), str(result), only]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
            if cell["status"] not in {"identical", "absent"}:
                notes[cell["status"], reason(cell)].append(f"{era} {model}/{kind} {'/'.join(layout)}")
    lines = [f"{count} cells {status}" for status, count in total.most_common()]
    lines = ["; ".join(lines) + ".", ""]
    lines += ["| model | adapter | " + " | ".join(results) + " |", "|---|---|" + "---|" * len(results)]
    for (model, kind), by_era in marks.items():
        row = [shown(by_era.get(era, Counter())) for era in results]
        lines.append(f"| {model} | {kind} | " + " | ".join(row) + " |")
    lines += ["", "Cells other than `=` and `·`, by reason:", ""]
    for (status, why), where in sorted(notes.items()):
        examples = ", ".join(where[:3]) + (f" and {len(where) - 3} more" if len(where) > 3 else "")
        lines.append(f"- **{MARKS[status]}** {why}: {examples}")
    return "\n".join(lines)


def shown(found: Counter[str]) -> str:
    return " ".join(
        f"{MARKS[status]}{count}" if status != "absent" else MARKS[status] for status, count in found.items()
    )


def reason(cell: dict[str, Any]) -> str:
    if cell["status"] == "identical-after-cast":
        return "peft leaves float32 weights in a half-precision model; equal once rounded to the base's dtype"
    if cell["status"] == "differs" and cell.get("ratio") is not None and cell.get("peft_ratio") is not None:
        better = cell["ratio"] < 0.1 < cell["peft_ratio"]
        if better:
            return "peft's merge changes the tied partner of the trained layer too, and no longer answers as trained"
    return str(cell["reason"])[:160]


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


if __name__ == "__main__":
    main()
