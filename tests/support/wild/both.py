"""Run trainers for real under `envpin record` and without it, and merge what both leave.

    python -m tests.support.wild.both NAME… [--work FOLDER] [--keep]

Says for each: the verdict, the probe's ratio (how far the merged model is from base and adapter, by how far the adapter
moves the base), how many tensors differ from those that peft's own `merge_and_unload` saves in the environment that
trained, and in which versions envpin merged.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.merge import tensors

from tests.support.command import arguments, envpin
from tests.support.wild.make import INPUTS, install, prepare, run_in, train
from tests.support.wild.trainers import TRAINERS

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = "envpin.json"


def adapter_of(left: Path) -> Path:
    """The folder of the finished adapter: what was left, else (ms-swift) the last checkpoint below it."""
    if (left / "adapter_config.json").exists():
        return left
    found = [one.parent for one in left.rglob("adapter_config.json")]
    return max(found, key=lambda folder: (folder / "adapter_config.json").stat().st_mtime_ns)


def merged(adapter: Path, out: Path) -> dict[str, Any]:
    """What `replay merge` wrote about its merge; what it said, where it failed."""
    shutil.rmtree(out, ignore_errors=True)
    completed = envpin("replay", "merge", adapter, "-o", out)
    if completed.status:
        return {"failed": f"exit status {completed.status}: {completed.stderr.strip()}"}
    record: dict[str, Any] = json.loads((out / "envpin-merge.json").read_text())
    return record


def runs(name: str, python: Path, work: Path) -> Iterator[str]:
    """A line for each merge of one trainer's adapters."""
    trainer = TRAINERS[name]
    for way, before in (("recorded", arguments("record", "--")), ("unrecorded", [])):
        folder = work / way
        prepare(python, folder)
        shutil.rmtree(folder / trainer.leaves, ignore_errors=True)
        train(trainer, python, folder, before=before)
        adapter = adapter_of(folder / trainer.leaves)
        if (adapter / MANIFEST).exists() != bool(before):
            raise SystemExit(f"{name}, {way}: a manifest {'is missing' if before else 'was written'} in {adapter}")
        run_in(python, folder, [str(INPUTS / "merge.py"), str(adapter), "base", "by-peft"])
        expected = tensors(folder / "by-peft")
        yield line(way, merged(adapter, folder / "merged"), folder / "merged", expected)
        if before:
            for manifest in (folder / trainer.leaves).rglob(MANIFEST):
                manifest.unlink()
            without = folder / "merged-without"
            yield line("manifest deleted", merged(adapter, without), without, expected)


def line(way: str, record: dict[str, Any], out: Path, expected: dict[str, str]) -> str:
    if "failed" in record:
        return f"  {way}: {record['failed']}"
    pins = record["environment"]["packages"]
    named = ", ".join(f"{one} {pins[one]}" for one in ("peft", "transformers", "torch") if one in pins)
    found = tensors(out)
    different = [one for one in found.keys() | expected.keys() if found.get(one) != expected.get(one)]
    ratio = record["verification"]["probe"]["ratio"]
    verdict = record["verdict"]["kind"]
    return f"  {way}: {verdict}, ratio {ratio:.4f}, {len(different)} of {len(expected)} tensors differ ({named})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", choices=list(TRAINERS))
    parser.add_argument("--work", type=Path, default=Path("/tmp/envpin-wild"))
    parser.add_argument("--keep", action="store_true", help="leave the environments and runs where they are")
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for name in args.names:
        work = args.work / name
        python = work / "env" / "bin" / "python"
        if not python.exists():
            python = install(TRAINERS[name], work)
        sys.stdout.write(f"{name}\n")
        for said in runs(name, python, work):
            sys.stdout.write(said + "\n")
            sys.stdout.flush()
        if not args.keep:
            shutil.rmtree(work)


if __name__ == "__main__":
    main()
