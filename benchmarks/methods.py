"""Every method of peft against envpin's merge, bit for bit: an adapter of each, made by peft itself, in four releases.

    python benchmarks/methods.py [--scratch DIR] [--markdown FILE] [--only NAME/DTYPE,NAME/DTYPE] [ERA ...]

Builds a plain environment for each release (uv, the user's index), runs methods_inside.py in it and prints one table: a
row for each method, a column for each release. `--markdown docs/reference/methods-grid.md` writes the committed page.
Takes about ten minutes on two cores. Ends with 1 where a cell differs from peft's own merge, merges what peft does not
or what was not trained, or refuses what peft merges and reloads as it was trained.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from grid import head
from merge import WORKERS, environment

INSIDE = Path(__file__).with_name("methods_inside.py")
# What single methods of peft need beyond peft itself: CorDA attrs, LoftQ scipy, AdaMSS scikit-learn, WaveFT PyWavelets.
REST = ("torch==2.13.0", "safetensors", "accelerate", "numpy", "attrs", "scipy", "scikit-learn", "PyWavelets")
ERAS = {
    "0.12": ("transformers==4.43.1", "peft==0.12.0", *REST),
    "0.15": ("transformers==4.51.3", "peft==0.15.2", *REST),
    "0.18": ("transformers==4.57.6", "peft==0.18.1", *REST),
    "0.21": ("transformers==5.24.0", "peft==0.21.2", *REST),
}
MARKS = {
    "identical": "=",
    "refused-as-peft": "x",
    "refused-not-as-trained": "t",
    "absent": "·",
    "refused-wrongly": "R",
    "merged-what-peft-does-not": "M",
    "merged-what-was-not-trained": "T",
    "differs": "≠",
    "error": "E",
}
MEANINGS = {
    "identical": "every tensor of peft's own reload and merge, to the bit; `s`: by the engine `stream`, `p`: by `peft`",
    "refused-as-peft": "refused, as peft refuses it",
    "refused-not-as-trained": "refused: what peft makes of it on loading or merging is not the model that was trained",
    "absent": "this peft has no such method, or cannot make such an adapter here",
}
GOOD = set(MEANINGS)


def run(era: str, scratch: Path, only: str) -> Path:
    result = scratch / f"methods-{era}.jsonl"
    python = environment(scratch, f"methods{era}", ERAS[era])
    command = [str(python), str(INSIDE), str(WORKERS), str(scratch / f"methods-{era}"), str(result), only]
    log = scratch / f"methods-{era}.log"
    with log.open("wb") as stream:
        if subprocess.run(command, check=False, stdout=stream, stderr=stream).returncode:
            raise SystemExit(f"{era}: methods_inside.py failed; its output is in {log}")
    return result


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    about, *cells = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return about, cells


def markdown(results: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]) -> str:
    rows: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    total: Counter[str] = Counter()
    for era, (_, cells) in results.items():
        for cell in cells:
            rows[cell["method"]][era].append(mark(cell))
            total[cell["status"]] += 1
            if cell["status"] not in {"identical", "absent"}:
                reasons[cell["status"], reason(cell)].append(f"{era} {cell['method']}/{cell['dtype']}")
    lines = [
        "# Every method of peft, merged",
        "",
        head([about for about, _ in results.values()], "methods.py --markdown docs/reference/methods-grid.md")
        + " A tiny Llama in bf16 and in fp32 (the two marks of a field), an adapter of each method made, moved and "
        "saved by that peft. peft's own merge is `PeftModel.from_pretrained(base, adapter).merge_and_unload()`; what "
        "was trained is what the model answered before it was saved.",
        "",
        "| | cells | |",
        "|---|---|---|",
        *(f"| {MARKS[one]} | {total[one]} | {MEANINGS.get(one, one)} |" for one in MARKS if total[one]),
        "",
        "| method | " + " | ".join(results) + " |",
        "|---|" + "---|" * len(results),
    ]
    for method, by_era in rows.items():
        shown = [" ".join(by_era.get(era, [])) for era in results]
        lines.append(f"| {method} | " + " | ".join("·" if set(one) <= set("· ") else one for one in shown) + " |")
    lines += ["", "Refused, by reason:", ""]
    for (status, why), where in sorted(reasons.items()):
        more = f" and {len(where) - 3} more" if len(where) > 3 else ""
        lines.append(f"- **{MARKS[status]}** {why}: {', '.join(where[:3])}{more}")
    return "\n".join(lines)


def mark(cell: dict[str, Any]) -> str:
    """The mark of a cell; of one that was merged, with the engine."""
    return MARKS[cell["status"]] + (cell["engine"][0] if cell["status"] == "identical" else "")


def reason(cell: dict[str, Any]) -> str:
    text = " ".join(str(cell["reason"]).split()).replace("|", "\\|")
    return re.sub(r"^peft [\d.]+ ", "peft ", text)[:220]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eras", nargs="*", default=list(ERAS), metavar="ERA", help=f"of {', '.join(ERAS)}")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "envpin-benchmark")
    parser.add_argument("--only", default="", help="cells, such as 'vblora topk/bf16,osf/fp32'")
    parser.add_argument("--read", action="store_true", help="only read what earlier runs left in the scratch folder")
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    results = {}
    for era in args.eras:
        results[era] = read(args.scratch / f"methods-{era}.jsonl" if args.read else run(era, args.scratch, args.only))
    text = markdown(results)
    print(text)
    if args.markdown:
        args.markdown.write_text(text + "\n", encoding="utf-8")
    cells = [cell for _, found in results.values() for cell in found]
    wrong = [one for one in cells if one["status"] not in GOOD]
    if wrong or not cells:
        raise SystemExit(f"{len(wrong)} of {len(cells)} cells are not as they should be: {wrong[:3]}")


if __name__ == "__main__":
    main()
