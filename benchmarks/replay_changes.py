"""What `envpin replay merge` does with bases and adapters of which one thing was changed, next to peft's own merge.

    python benchmarks/replay_changes.py [--environment latest] [--only WORDS] [--kept FOLDER] [--misses]

The environment is one of tests/support/environments.py, or pins such as `transformers==5.24.0,peft==0.21.2,torch`.
Adapters of up to fourteen kinds are trained under `envpin record`, and pairs made of them (replay_changes_inside.py):
tensors, config.json and index of the base, settings and tensors of the adapter. Each is merged by peft and by the
whole command, and looked at by `envpin check`. Takes half an hour of two cores. Printed is how many merges have the
bits of peft's, how many are refused, and how many of the refusals `check` tells beforehand; `--misses` lists the
others. Ends with 1 where a merge has other bits than peft's, or where peft raises or loses something; where a changed
setting is called `identical`; where a worker breaks, a file of base or adapter changes, or something is left there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support import environments
from tests.support.command import envpin, variables

from envpin.core import process

INSIDE = Path(__file__).with_name("replay_changes_inside.py")
QUIET = {"CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
# What no merge reads.
OF_PLACE = ("base_model_name_or_path", "nothing", "adapter: no tokenizer")
Stored = dict[str, tuple[str, list[int], bytes]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", default="latest")
    parser.add_argument("--only", default="", help="cases whose kind and change hold these words")
    parser.add_argument("--kept", type=Path, help="where the pairs are made, and stay")
    parser.add_argument("--misses", action="store_true")
    args = parser.parse_args()
    with TemporaryDirectory(prefix="envpin-changes-") as scratch:
        folder = (args.kept or Path(scratch)).absolute()
        named = args.environment
        found = environments.pinned(named) if named in environments.PINS else environments.literal(*named.split(","))
        python = found.python
        made = make(python, folder)
        wrong = report(made, folder / "cases", only=args.only, misses=args.misses)
    raise SystemExit(1 if wrong else 0)


def make(python: Path, folder: Path) -> dict:
    """Train every kind, and make the cases; what is there is not made again."""
    known = process.run([str(python), str(INSIDE), "kinds"], env=variables(QUIET))
    if known.status:
        raise SystemExit(known.stderr[-3000:])
    for kind in known.stdout.split():
        if not (folder / "made" / kind / "adapter" / "envpin.json").exists():
            done = envpin("record", "--", python, INSIDE, "train", kind, folder / "made" / kind, env=QUIET)
            if done.status:
                raise SystemExit(done.stderr[-3000:])
    cases = folder / "cases"
    if not (cases / "cases.json").exists():
        words = [str(one) for one in (python, INSIDE, "change", folder / "made", cases)]
        done = process.run(words, env=variables(QUIET))
        if done.status:
            raise SystemExit(done.stderr[-3000:])
    return json.loads((cases / "cases.json").read_text(encoding="utf-8"))


def report(made: dict, folder: Path, *, only: str, misses: bool) -> list[str]:
    counts: Counter[str] = Counter()
    wrong, unsaid, refused = [], [], []
    cases = [one for one in made["cases"] if only in f"{one['kind']}: {one['what']}"]
    for case in cases:
        line, faults, told = tried(case, folder / case["folder"])
        is_ok = case["peft"] == "ok"
        counts["whole" if is_ok else "not"] += 1
        counts[f"{'whole' if is_ok else 'not'} {'merged' if line.startswith('merged') else 'refused'}"] += 1
        counts["told"] += told and not is_ok
        wrong += [f"  {case['kind']}: {case['what']}: {fault}; peft: {case['peft']}" for fault in faults]
        if not line.startswith("merged"):
            named = f"  {case['kind']}: {case['what']}: {line}"
            unsaid += [named] if not told else []
            refused += [named] if is_ok else []
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    print(
        f"{versions}: {len(cases)} cases; of {counts['whole']} that peft merges whole {counts['whole merged']} are "
        f"merged and {counts['whole refused']} refused; of {counts['not']} that it refuses or of which it loses "
        f"something {counts['not refused']} are refused, {counts['told']} of them by `check` too; {len(wrong)} wrong"
    )
    print("\n".join(wrong))
    if misses:
        print("\n".join(["refused though peft merges it:", *refused, "refused, and `check` says nothing:", *unsaid]))
    return wrong


def tried(case: dict, folder: Path) -> tuple[str, list[str], bool]:
    """What the merge ends with, what is wrong with it, and whether `check` calls it a blocker."""
    shutil.rmtree(folder / "merged", ignore_errors=True)  # of an earlier run over the same pairs
    before = digests(folder)
    checked = envpin("check", folder / "adapter", "--base", folder / "base", "--json", env=QUIET)
    # peft before 0.13 leaves float32 where it merged DoRA, which `--dtype peft` does as well.
    done = envpin("replay", "merge", folder / "adapter", "-o", folder / "merged", "--dtype", "peft", env=QUIET)
    merged = folder / "merged"
    faults = []
    if done.status == 0:
        line = next((one for one in done.stdout.splitlines() if one.startswith("verdict")), "")
        if case["peft"] != "ok":
            faults.append("merged")
        elif not is_merge(stored(merged), stored(folder / "truth"), stored(folder / "base")):
            faults.append("other bits than peft's")
        if "identical (" in line and case["kind"] == "lora" and not case["what"].startswith(OF_PLACE):
            faults.append(line)
        line = f"merged, {line}"
    else:
        said = next((one for one in done.stderr.splitlines() if one.startswith("error:")), done.stderr[-300:])
        line = f"{done.status}: {said}"
        if done.status not in {1, 2, 5}:
            faults.append(line)
    left = {name for name in digests(folder) if not name.startswith("merged")} ^ set(before)
    changed = [name for name, one in digests(folder).items() if before.get(name, one) != one]
    faults += [f"left or changed {name}" for name in sorted(left | set(changed))]
    return line, faults, checked.status == 1


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
        if path != folder / "merged" and folder / "merged" not in path.parents
    }


def is_merge(merged: Stored, truth: Stored, base: Stored) -> bool:
    """Whether tensors have the bits of peft's merge; what that leaves out (a tied head) has to be as in the base."""
    return truth.keys() <= merged.keys() and all(one == truth.get(name, base.get(name)) for name, one in merged.items())


def stored(folder: Path) -> Stored:
    """Every tensor of the folder as dtype, shape and bytes."""
    found: Stored = {}
    for path in sorted(folder.glob("*.safetensors")):
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        for name, one in json.loads(data[8 : 8 + length]).items():
            if name != "__metadata__":
                first, end = one["data_offsets"]
                found[name] = (one["dtype"], one["shape"], data[8 + length + first : 8 + length + end])
    return found


if __name__ == "__main__":
    main()
