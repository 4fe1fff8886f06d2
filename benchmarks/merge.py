"""How fast, and in how much memory: PEFT's merge, PEFT's safe merge, axolotl's, envpin's, and copying the files.

    python benchmarks/merge.py [--size 1.1] [--scratch DIR] [--axolotl] [--json FILE]
    python benchmarks/merge.py --memory             peak memory of envpin's merge at 0.3, 1.1 and 4 B parameters: of
                                                    models as they are made, of one width with more layers, and
                                                    of those with DoRA

Every role runs in its own process of one real environment, one after the other, with the base in the page cache.
Wall times are after imports. Every output is held against PEFT's, tensor by tensor, bit for bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
INSIDE = Path(__file__).with_name("merge_inside.py")
WORKERS = ROOT / "src" / "envpin" / "workers"
PINS = ("transformers==4.43.1", "peft==0.12.0", "torch==2.13.0", "accelerate", "safetensors", "numpy")


# Of axolotl only the package itself: its requirements (flash-linear-attention, deepspeed, …) are not for a CPU, and its
# merge needs none of them but these.
AXOLOTL = "axolotl==0.19.0"
AXOLOTL_PINS = ("transformers==5.23.0", "peft==0.21.2", "torch==2.13.0", "accelerate", "safetensors", "numpy")


def environment(scratch: Path, name: str, pins: tuple[str, ...], alone: str | None = None) -> Path:
    """A plain virtual environment with uv; the user's index, and the wheels that pip was told of. `alone` is installed
    without its requirements."""
    folder = scratch / f"env-{name}"
    python = folder / "bin" / "python"
    if not python.exists():
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        variables = {**os.environ, "UV_FIND_LINKS": os.environ.get("PIP_FIND_LINKS", "")}
        subprocess.run([uv, "venv", "-q", "--python", "3.11", str(folder)], check=True, env=variables)
        install = [uv, "pip", "install", "-q", "--python", str(python)]
        if alone is not None:
            subprocess.run([*install, "--no-deps", alone], check=True, env=variables)
        subprocess.run([*install, *pins], check=True, env=variables)
    return python


def role(python: Path, *arguments: object) -> dict[str, Any]:
    """Run one role and read the line of JSON it ends with."""
    completed = subprocess.run(
        [str(python), str(INSIDE), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if completed.returncode != 0:
        raise SystemExit(completed.stderr[-3000:])
    answer: dict[str, Any] = json.loads(completed.stdout.splitlines()[-1])
    return answer


def warm(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as stream:
            while stream.read(1 << 24):
                pass


def plain_copy(base: Path, out: Path) -> dict[str, Any]:
    begin, before = time.perf_counter(), os.times()
    subprocess.run(["cp", "-rL", str(base), str(out)], check=True)
    subprocess.run(["sync", "-f", str(out)], check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"role": "cp -r", "wall": round(time.perf_counter() - begin, 2), "cpu": round(cpu, 2), "peak_rss_mb": 2}


def tensors(folder: Path) -> dict[str, str]:
    """Digest of every tensor's dtype, shape and bytes, by name."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
            for name, entry in header.items():
                if name != "__metadata__":
                    first, last = entry["data_offsets"]
                    stream.seek(8 + length + first)
                    digest = hashlib.sha256(stream.read(last - first)).hexdigest()
                    found[name] = f"{entry['dtype']} {entry['shape']} {digest}"
    return found


def compare(scratch: Path, size: str, *, axolotl: bool, rounds: int) -> list[dict[str, Any]]:
    python = environment(scratch, "peft012", PINS)
    base, adapter, out = scratch / f"base-{size}", scratch / f"lora-{size}", scratch / "out"
    if not adapter.exists():
        role(python, "make", base, adapter, size)
    other = environment(scratch, "axolotl", AXOLOTL_PINS, AXOLOTL) if axolotl else None
    rows: list[dict[str, Any]] = []
    wanted: dict[str, str] = {}
    roles: dict[str, Callable[[], dict[str, Any]]] = {
        "PEFT load + merge + save": lambda: role(python, "peft", base, adapter, out),
        "PEFT, safe_merge=True": lambda: role(python, "safe", base, adapter, out),
        "envpin stream, verified": lambda: role(python, "stream", base, adapter, out, WORKERS),
        "cp -r, synced": lambda: plain_copy(base, out),
        "copy_file_range, synced": lambda: role(python, "copy-range", base, out),
    }
    if other is not None:
        roles["axolotl's merge_lora_sharded_efficient"] = lambda: role(other, "axolotl", base, adapter, out)
    for _ in range(rounds):
        for name, run in roles.items():
            shutil.rmtree(out, ignore_errors=True)
            warm(base)
            answer = run()
            found = tensors(out)
            wanted = wanted or found
            rows.append({**answer, "name": name, "differing": sum(found.get(key) != wanted[key] for key in wanted)})
            print(json.dumps(rows[-1]), file=sys.stderr)
    shutil.rmtree(out, ignore_errors=True)
    return best(rows)


def best(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fastest round of each role: the machine's other work only ever adds time."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["name"] not in found or (row.get("wall") or 0) < (found[row["name"]].get("wall") or 0):
            found[row["name"]] = row
    return list(found.values())


def memory(scratch: Path) -> list[dict[str, Any]]:
    python = environment(scratch, "peft012", PINS)
    rows = []
    lora = [(size, "lora") for size in ("0.3", "1.1", "4", "0.35@2048", "1.1", "4@2048")]
    for size, kind in (*lora, ("1.1", "dora"), ("4@2048", "dora")):
        base, adapter, out = scratch / f"base-{size}", scratch / f"{kind}-{size}", scratch / "out"
        if not adapter.exists():
            role(python, "make", base, adapter, size, kind)
        shutil.rmtree(out, ignore_errors=True)
        answer = role(python, "stream", base, adapter, out, WORKERS)
        total = sum(path.stat().st_size for path in base.glob("*.safetensors"))
        budget = answer["torch_rss_mb"] + 2 * answer["largest_mb"] + 100
        name = (size.replace("@", " B, width ") if "@" in size else f"{size} B") + (", DoRA" if kind == "dora" else "")
        rows.append({**answer, "name": name, "gigabytes": round(total / 1e9, 2), "budget_mb": budget})
        shutil.rmtree(out, ignore_errors=True)
        if size.startswith("4"):
            shutil.rmtree(base, ignore_errors=True)
            shutil.rmtree(adapter, ignore_errors=True)
    return rows


def table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row.get(key, "–")) for key in columns) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("0.3", "1.1", "4"), default="1.1", help="parameters in billions")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "envpin-benchmark")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory", action="store_true", help="measure how peak memory grows with the model instead")
    parser.add_argument("--axolotl", action="store_true", help="axolotl's function too, in an environment of its own")
    parser.add_argument("--json", type=Path, help="leave every figure there")
    args = parser.parse_args()
    args.scratch = args.scratch.resolve()
    args.scratch.mkdir(parents=True, exist_ok=True)
    if args.memory:
        rows = memory(args.scratch)
        columns = {"name": "parameters", "gigabytes": "GB", "wall": "wall s", "peak_rss_mb": "peak RSS MB",
                   "torch_rss_mb": "torch alone", "imports_rss_mb": "all imports",
                   "largest_mb": "largest tensor MB", "budget_mb": "budget MB"}  # fmt: skip
    else:
        rows = compare(args.scratch, args.size, axolotl=args.axolotl, rounds=args.rounds)
        columns = {"name": "", "wall": "wall s", "cpu": "CPU s (with imports)", "peak_rss_mb": "peak RSS MB",
                   "differing": "tensors that differ from PEFT's"}  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(rows, columns))


if __name__ == "__main__":
    main()
