"""What `envpin check` says of adapters and bases with one thing changed, next to what peft and transformers do.

    python benchmarks/check_peft.py PYTHON... [--bases | --types [TYPE,...]] [--misses]

PYTHON is an interpreter with torch, transformers and peft. It makes bases of twelve families, an adapter of each and of
seven more methods, and from these some thousand cases (check_peft_inside.py): every adapter on every base, every field
of LoraConfig with values of other types, tensors renamed, reshaped, taken away, put in. With `--bases` it makes three
bases with an adapter each, and of them some six hundred bases (check_base_inside.py): every field of config.json with
other values, files and tensors damaged. Each is loaded and merged. With `--types` it makes models of the types in
forms.json, in each of their classes, without adapters (check_types_inside.py); each is loaded.
Printed is how many of those that peft refuses or of which it loses something `check` calls a blocker or warns about,
and how many that it loads `check` calls a blocker; `--misses` lists those of which `check` says nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from envpin.diagnose.check import check
from envpin.diagnose.forms import formed_types

INSIDE = Path(__file__).with_name("check_peft_inside.py")
INSIDE_BASES = Path(__file__).with_name("check_base_inside.py")
INSIDE_TYPES = Path(__file__).with_name("check_types_inside.py")
# The merged model is another one, or lacks what the file had for it: nothing of it was lost.
LOADED = ("ok", "differs", "unread")
QUIET = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", nargs="+")
    parser.add_argument("--bases", action="store_true")
    parser.add_argument("--types", nargs="?", const=",".join(formed_types()), metavar="TYPE,...")
    parser.add_argument("--misses", action="store_true")
    args = parser.parse_args()
    for python in args.python:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            try:
                inside = INSIDE_TYPES if args.types else INSIDE_BASES if args.bases else INSIDE
                kinds = args.types.split(",") if args.types else ()
                subprocess.run([python, inside, folder, *kinds], check=True, env=os.environ | QUIET)
            except (OSError, subprocess.CalledProcessError) as error:
                parser.error(f"`{python}` is no interpreter with torch, transformers and peft: {error}")
            made = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
            report(made, folder, misses=args.misses)


def report(made: dict, folder: Path, *, misses: bool) -> None:
    fails: Counter[str] = Counter()
    works: Counter[str] = Counter()
    silent, refused, noted, whole = [], [], [], 0
    for case in made["cases"]:
        base = folder / case["base"]
        findings = (check(folder / case["adapter"], base=base) if case["adapter"] else check(base)).findings
        said = min((one.severity for one in findings), key=("blocker", "warning", "info").index, default="info")
        line = f"  {case['what']} on {case['base']}: {case['peft']}"
        if case["peft"].startswith(LOADED):
            works[said] += 1
            whole += case["peft"] == "ok"
            noted += [f"{line}; {findings[0].message[:120]}"] if case["peft"] == "ok" and said != "info" else []
            refused += [f"{line}; {findings[0].message[:120]}"] if said == "blocker" else []
        else:
            fails[said] += 1
            silent += [line] if said == "info" else []
    print(
        f"{', '.join(f'{name} {version}' for name, version in made['versions'].items())}: {len(made['cases'])} cases; "
        f"of {sum(fails.values())} that are refused or lose something, {fails['blocker']} blockers, "
        f"{fails['warning']} warnings, {fails['info']} unsaid; of {sum(works.values())} that load whole, "
        f"{works['blocker']} blockers, {works['warning']} warnings; of {whole} without a word {len(noted)} findings"
    )
    if misses:
        print("\n".join(["unsaid:", *silent, "blockers though it loads:", *refused, "without a word:", *noted]))


if __name__ == "__main__":
    sys.exit(main())
