"""How long `scan` takes for 10,000 adapters, and how much of it several processes save.

    python benchmarks/scan.py [COUNT] [--no-infer]

The adapters are as peft and the Trainer of transformers leave them: config, weights (sparse: headers whole, tensors
without space), card, tokenizer, training_args.bin. They share ten bases.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.check import touch_values
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.wild.make import KEPT
from tests.support.wild.mixed import fields

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
COMPANIONS = ("README.md", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
STARTED = b"Nov27_03-18-10"


def make(root: Path, count: int) -> None:
    """`count` adapters of a 16-layer model over all seven kinds of layers: 224 tensors each."""
    shapes = llama_shapes(layers=16)
    lora = lora_shapes(shapes, ALL)
    for at in range(10):
        write_model(root / f"base-{at}", shapes)
    for at in range(count):
        folder = write_adapter(root / f"runs-{at % 100:02}" / f"{at:05}", lora, base=f"base-{at % 10}",
                               **{**fields("0.14.0"), "target_modules": list(ALL)})  # fmt: skip
        touch_values(folder)
        for name in COMPANIONS:
            shutil.copy(KEPT / "hf-trainer" / name, folder / name)
        write_arguments(
            folder / "training_args.bin", started=b"Nov%02d_%02d-%02d-10" % (at // 1440 + 1, at // 60 % 24, at % 60)
        )


def write_arguments(path: Path, *, started: bytes) -> None:
    """The kept run's training_args.bin with another moment of the start, as every run's own has one."""
    with zipfile.ZipFile(KEPT / "hf-trainer" / path.name) as kept, zipfile.ZipFile(path, "w") as written:
        for name in kept.namelist():
            content = kept.read(name)
            assert not name.endswith("data.pkl") or STARTED in content
            written.writestr(name, content.replace(STARTED, started))


def seconds(root: Path, jobs: int, count: int) -> float:
    command = [sys.executable, "-m", "envpin", "scan", str(root), "--json", *MORE, "--jobs", str(jobs)]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    taken = time.perf_counter() - start
    assert done.returncode in {0, 1}, done.returncode
    assert done.stdout.count(b'"trainer_title": "HF Trainer"') == count
    return taken


MORE: list[str] = []

if __name__ == "__main__":
    MORE += [word for word in sys.argv[1:] if word.startswith("--")]
    COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), COUNT)
        before = os.times()
        for jobs in (2, 1):
            taken = seconds(Path(folder), jobs, COUNT)
            print(f"{COUNT:,} adapters, {jobs} process{'es' if jobs > 1 else ''}: {taken:.1f} s "
                  f"({taken / COUNT * 1000:.2f} ms each)")  # fmt: skip
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        print(f"processor time of both together: {used:.1f} s; load of the machine {os.getloadavg()[0]:.1f}")
