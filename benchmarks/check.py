"""How long `check` takes: a 70B-shaped adapter against its base in 30 shards, and a folder of 5,000 adapters.

    python benchmarks/check.py

The files are sparse: headers are whole, and tensors take no space. Each figure of the command line is the best of
seven processes, less what a bare interpreter takes; the time on the processor is given too, which a busy machine leaves
as it is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model

from envpin.diagnose.check import check

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def best(command: list[str], times: int = 7) -> tuple[float, float]:
    """Seconds by the clock, and on the processor."""
    taken, busy = [], []
    for _ in range(times):
        start, before = time.perf_counter(), os.times()
        completed = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        taken.append(time.perf_counter() - start)
        after = os.times()
        busy.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert completed.returncode == 0, command
    return min(taken), min(busy)


def touch_values(adapter: Path) -> None:
    """One byte that is not zero, where the first `lora_B` is: a trained adapter, not a fresh one."""
    from envpin.checkpoint.checkpoint import open_checkpoint

    tensor = next(one for name, one in open_checkpoint(adapter).tensors.items() if "lora_B" in name)
    with (adapter / "adapter_model.safetensors").open("r+b") as stream:
        stream.seek(tensor.start)
        stream.write(b"\x01")


def large(root: Path) -> tuple[float, float]:
    """Milliseconds that a check of the pair takes beyond the interpreter, by the clock and on the processor."""
    sizes = {"vocab": 128256, "hidden": 8192, "layers": 80, "inner": 28672, "kv": 1024}
    shapes = llama_shapes(**sizes)
    config = llama_config(vocab_size=128256, hidden_size=8192, num_hidden_layers=80, intermediate_size=28672,
                          num_attention_heads=64, num_key_value_heads=8, torch_dtype="bfloat16")  # fmt: skip
    base = write_model(root / "base", shapes, config, shards=30, dtype="BF16")
    adapter = write_adapter(root / "adapter", lora_shapes(shapes, ALL), target_modules=list(ALL))
    touch_values(adapter)
    bare = best([sys.executable, "-I", "-c", "pass"])
    command = [sys.executable, "-m", "envpin", "check", str(adapter), "--base", str(base)]
    whole = best(command)
    start = time.process_time()
    report = check(adapter, base=base)
    inside = time.process_time() - start
    assert not report.blockers, report.findings
    print(f"70B-shaped pair, 560 modules, 30 shards: {(whole[0] - bare[0]) * 1000:.0f} ms beyond the interpreter "
          f"({bare[0] * 1000:.0f} ms), on the processor {(whole[1] - bare[1]) * 1000:.0f} ms; "
          f"the call alone {inside * 1000:.0f} ms", file=sys.stderr)  # fmt: skip
    return (whole[0] - bare[0]) * 1000, (whole[1] - bare[1]) * 1000


def many(root: Path, count: int = 5000) -> None:
    base = write_model(root / "small", llama_shapes())
    shapes = lora_shapes(llama_shapes(), ALL)
    adapters = [write_adapter(root / "many" / f"{at:05}", shapes, target_modules=list(ALL)) for at in range(count)]
    for adapter in adapters:
        touch_values(adapter)
    start, busy = time.perf_counter(), time.process_time()
    for adapter in adapters:
        check(adapter, base=base)
    taken, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"{count:,} adapters: {taken / count * 1000:.2f} ms each, on the processor {busy / count * 1000:.2f} ms")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        large(Path(folder))
        many(Path(folder))
