"""What a person waits for: `envpin replay merge` with its proof beside the same merge by hand and a copy of the files.

    python benchmarks/replay.py [--sizes tiny,0.35,1.1] [--stacks llama3.1,newest] [--rounds 3] [--scratch DIR]
                                [--avx2] [--cold] [--dora] [--json FILE]

Whole commands, from the first key to the prompt: interpreters and imports included, one after the other in one run,
the environment ready, the base in the page cache (with `--cold` its pages are dropped first, which needs root). By hand
is a plain script in the very environment that envpin uses: import, load, merge, save. `--avx2` hides the newer units of
the processor from torch, as on the commonest laptop and cloud CPUs. Memory is the largest sum over the processes of a
command of what is theirs alone and their share of the rest (PSS), read ten times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.environments import find_links

INSIDE = Path(__file__).with_name("merge_inside.py")
STACKS = {
    # the committed Llama 3.1 lock, with whatever build of torch its index gives
    "llama3.1": str(ROOT / "lockfiles" / "pylock.llama3-1.toml"),
    "newest": "transformers==4.57.6,peft==0.18.1,torch==2.13.0",
}
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
STEPS = ("environment-verify", "digests", "stream-plan", "stream-merge", "answers", "publish")
BY_HAND = """
import sys, torch
from transformers import AutoModelForCausalLM
from peft import PeftModel
base, adapter, out = sys.argv[1:4]
model = AutoModelForCausalLM.from_pretrained(base, torch_dtype="auto")
PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(out)
"""


def pss(pid: int) -> int:
    """kB of a process and all that it started, each page counted once over all of them."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii")
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (task / "children").read_text(encoding="ascii").split())
        except (OSError, StopIteration):
            continue  # it has ended
    return total


def timed(argv: list[str], variables: dict[str, str]) -> dict[str, Any]:
    """Seconds by the clock and on the processors, the largest memory in MB, and what it printed."""
    before, begin = os.times(), time.perf_counter()
    child = subprocess.Popen(argv, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    peak, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            peak[0] = max(peak[0], pss(child.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    stdout, stderr = child.communicate()
    wall = time.perf_counter() - begin
    ended.set()
    watcher.join()
    if child.returncode != 0:
        raise SystemExit(f"{argv}\n{stderr.decode()[-3000:]}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall": wall, "cpu": cpu, "peak_mb": peak[0] // 1024, "stdout": stdout}


class Stack:
    """One environment of envpin's, and a model of one size made in it."""

    def __init__(self, name: str, size: str, kind: str, scratch: Path, variables: dict[str, str]) -> None:
        self.name, self.size, self.kind, self.variables = name, size, kind, variables
        self.reference = STACKS[name]
        self.folder = scratch / f"{name}-{size}"
        self.base, self.adapter, self.out = self.folder / "base", self.folder / kind, self.folder / "out"
        self.envpin = [sys.executable, "-m", "envpin"]
        subprocess.run([*self.envpin, "env", "create", self.reference], check=True, env=variables, stdout=2)
        path = subprocess.run(
            [*self.envpin, "env", "path", self.reference], check=True, env=variables, capture_output=True, text=True
        )
        self.python = str(Path(path.stdout.strip(), "bin", "python"))
        if not self.adapter.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            make = [self.python, str(INSIDE), "make", str(self.base), str(self.adapter), size, kind]
            subprocess.run(make, check=True, env=variables, stdout=2)

    def row(self, command: str, *, cold: bool) -> dict[str, Any]:
        shutil.rmtree(self.out, ignore_errors=True)
        os.sync()
        if cold:
            Path("/proc/sys/vm/drop_caches").write_text("1", encoding="ascii")
        else:
            for path in self.base.iterdir():
                path.read_bytes()
        argv = {
            "by hand": [self.python, "-c", BY_HAND, str(self.base), str(self.adapter), str(self.out)],
            "envpin": [*self.envpin, "replay", "merge", str(self.adapter), "-o", str(self.out), "--base",
                       str(self.base), "--environment", self.reference, "--json"],
            "cp -r": ["sh", "-c", f"cp -r {self.base} {self.out} && sync -f {self.out}"],
        }[command]  # fmt: skip
        found = timed(argv, self.variables)
        printed = found.pop("stdout")
        if command == "envpin":
            found["seconds"] = json.loads(printed)["seconds"]
        shutil.rmtree(self.out, ignore_errors=True)
        return {"stack": self.name, "size": self.size, "kind": self.kind, "command": command, "cold": cold, **found}


def median(rows: list[dict[str, Any]], key: str) -> float:
    return statistics.median(row[key] for row in rows)


def cell_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["stack"], row["size"], row["kind"], row["cold"]


def table(rows: list[dict[str, Any]]) -> str:
    titles = [
        "stack, size",
        "page cache",
        "by hand s",
        "envpin s",
        "ratio",
        "cp -r s",
        "by hand MB",
        "envpin MB",
        *STEPS,
    ]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for cell in dict.fromkeys(map(cell_of, rows)):
        stack, size, kind, cold = cell
        mine = [row for row in rows if cell_of(row) == cell]
        by = {name: [row for row in mine if row["command"] == name] for name in ("by hand", "envpin", "cp -r")}
        # Pairs of one round: the machine's other work meets both.
        pairs = zip(by["envpin"], by["by hand"], strict=True)
        ratio = statistics.median(one["wall"] / other["wall"] for one, other in pairs)
        steps = [f"{statistics.median(row['seconds'].get(step, 0.0) for row in by['envpin']):.1f}" for step in STEPS]
        name = f"{stack}, {size}" + (" DoRA" if kind == "dora" else "")
        lines.append(
            f"| {name} | {'cold' if cold else 'warm'} | {median(by['by hand'], 'wall'):.1f} | "
            f"{median(by['envpin'], 'wall'):.1f} | {ratio:.2f} | {median(by['cp -r'], 'wall'):.1f} | "
            f"{median(by['by hand'], 'peak_mb'):.0f} | {median(by['envpin'], 'peak_mb'):.0f} | {' | '.join(steps)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes",
        default="tiny,0.35,1.1",
        help="of tiny, 0.35, 1.1 and 4 (billions of parameters); 8@4096 and 70@8192 are two such layers",
    )
    parser.add_argument("--stacks", default="llama3.1,newest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "envpin-benchmark-replay")
    parser.add_argument("--avx2", action="store_true", help="hide AVX-512 and AMX from torch")
    parser.add_argument("--cold", action="store_true", help="drop the page cache before each command, too")
    parser.add_argument("--dora", action="store_true", help="DoRA on every linear layer in place of LoRA")
    parser.add_argument("--json", type=Path, help="leave every figure there")
    args = parser.parse_args()
    variables = {**os.environ, **(AVX2 if args.avx2 else {})}
    if find_links():
        variables["UV_FIND_LINKS"] = ",".join(find_links())
    rows = []
    for stack in args.stacks.split(","):
        for size in args.sizes.split(","):
            one = Stack(stack, size, "dora" if args.dora else "lora", args.scratch.resolve(), variables)
            one.row("envpin", cold=False)  # the first merge in an environment hashes it and compiles its byte code
            one.row("by hand", cold=False)
            for cold in [False, True] if args.cold else [False]:
                for _ in range(args.rounds):
                    for command in ("by hand", "envpin", "cp -r"):
                        rows.append(one.row(command, cold=cold))
                        print(json.dumps(rows[-1]), file=sys.stderr)
            if size == "4":
                shutil.rmtree(one.folder)  # 16 GB
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
