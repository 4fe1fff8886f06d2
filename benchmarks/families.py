"""The engine `stream` on every family of tiny models, and on more whose checkpoints name their tensors otherwise.

    python benchmarks/families.py [--scratch DIR] [--markdown FILE] [ERA ...]

For each era of grid.py (default: the newest two) a model of each family is made, LoRA put on what people train, and the
files that the engine writes are compared with those that peft's merged model is saved with. Ends with 1 where a family
differs or the engine fails; families that fall back to the engine `peft` are listed with the reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from grid import ERAS, head, read
from merge import WORKERS, environment

INSIDE = Path(__file__).with_name("families_inside.py")
WORDS = {
    "identical": "=",
    "wider": "= (transformers keeps some tensors in float32 on loading; the files keep the base's dtype)",
    "untied": "untied",
    "falls-back": "engine `peft`",
    "absent": "·",
    "differs": "≠",
    "error": "E",
}

LEGEND = (
    "`=`: every tensor of the files to the bit (`fused`: operations on experts that transformers fuses on loading and "
    "the files keep apart); `·`: peft itself cannot make or merge it; wider: all equal, and transformers keeps some "
    "untouched tensors in float32 on loading, where the files keep the base's dtype; untied: the head was trained over "
    "a tied embedding (`all-linear` of peft 0.12 includes it where the model lies inside another), both are written, "
    "and peft's own merge changes both alike ([ADR 31](../adr/0031-untie-what-training-untied.md)). `probe`: "
    "|merged - adapter| / |adapter - base|, asked layer by layer; where nothing stands behind it, the outputs of the "
    "same models loaded whole in float32 are equal to the bit; `whole models`: it cannot be taken apart, and is loaded."
)


def run(era: str, scratch: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    result = scratch / f"families-{era}.jsonl"
    python = environment(scratch, f"peft{era}", ERAS[era])
    command = [str(python), str(INSIDE), str(WORKERS), str(scratch / f"families-{era}"), str(result)]
    log = scratch / f"families-{era}.log"
    with log.open("wb") as stream:
        if subprocess.run(command, check=False, stdout=stream, stderr=stream).returncode:
            raise SystemExit(f"{era}: families_inside.py failed; its output is in {log}")
    return read(result)


def markdown(results: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]) -> str:
    cells = {era: {cell["cell"]: cell for cell in found} for era, (_, found) in results.items()}
    names = sorted({name for by_name in cells.values() for name in by_name})
    lines = [
        "# The streaming engine on tiny models of families",
        "",
        head([about for about, _ in results.values()], "families.py " + " ".join(results)),
        LEGEND,
        f"{len(names)} families were run, and one without a row was not: `envpin matrix show FAMILY` has its runs.",
        "",
    ]
    for era, by_name in cells.items():
        total = Counter(cell["status"] for cell in by_name.values())
        lines.append(f"peft {era}: " + ", ".join(f"{count} {status}" for status, count in total.most_common()) + ".  ")
    titles = [title for era in cells for title in (era, f"probe {era}")]
    lines += ["", "| family | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    for name in names:
        row = [text for by_name in cells.values() for text in (shown(by_name.get(name)), asked(by_name.get(name)))]
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    lines += ["", "Not `=`, and why:", ""]
    for era, by_name in cells.items():
        lines += [f"- {era} {name}: {one['reason']}" for name, one in by_name.items() if one["status"] != "identical"]
        probes = {name: one["probe"] for name, one in by_name.items() if "cannot" in one.get("probe", {})}
        lines += [f"- {era} {name}, probe: {probe['cannot']}" for name, probe in probes.items()]
    return "\n".join(lines)


def shown(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    fused = f", {cell['fused']} fused" if cell.get("fused") else ""
    return WORDS[cell["status"]].partition(" (")[0] + fused


def asked(cell: dict[str, Any] | None) -> str:
    probe = (cell or {}).get("probe")
    if probe is None:
        return ""
    if "cannot" in probe:
        return "whole models"
    differ = "" if probe["largest"] == 0 else f" (whole models {probe['whole']:.4f})"
    return f"{probe['ratio']:.4f}{differ}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eras", nargs="*", default=list(ERAS)[-2:], metavar="ERA", help=f"of {', '.join(ERAS)}")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "envpin-benchmark")
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    results = {era: run(era, args.scratch) for era in args.eras}
    text = markdown(results)
    print(text)
    if args.markdown:
        args.markdown.write_text(text + "\n", encoding="utf-8")
    wrong = [one for _, found in results.values() for one in found if one["status"] in {"differs", "error"}]
    if wrong:
        raise SystemExit(f"{len(wrong)} families are not as they should be: {wrong[:3]}")


if __name__ == "__main__":
    main()
