"""Plant one change in a training run, and see whether envpin names its first step and its cause.

    .venv/bin/python benchmarks/planted.py PYTHON [NAME…]

PYTHON is an interpreter with torch, transformers, peft, trl and datasets. Each run is a real one of HF Trainer or TRL's
SFTTrainer on a CPU under envpin's hook, in a fork of a process that has the packages loaded (planted_inside.py), which
spares a minute of imports for each. The record is compared as `envpin replay train` compares it.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from envpin.manifest.read import read_manifest
from envpin.manifest.trace import read_trace
from envpin.recording.injected import HOOK
from envpin.recording.session import RUN_VARIABLE, RecordSession
from envpin.replay.training.judge import RunRecord, TrainJudgement, judge

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.support.training import finetune

FINETUNE = ROOT / "tests" / "support" / "training" / "finetune.py"
TINY = ROOT / "tests" / "support" / "training" / "tiny.py"
QUIET = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}
BASE = ("--base", "base", "--data", "rows.jsonl")
# Options of the runs that are held against: the usual one, rows in the order of the file, with the package `lossy`.
USUAL: dict[str, tuple[str, ...]] = {
    "usual": (), "in order": ("--in-order",), "lossy": ("--loss-package", "--in-order"),
    "sft": ("--trainer", "sft"), "eager": ("--attention", "eager", "--dtype", "bfloat16"),
}  # fmt: skip


# Two attentions round otherwise: at which step that first shows is read from the lines of the two traces themselves.
ROUNDING = -1


class Planted(NamedTuple):
    """One change: against which run, which options or files are others, and what is to be named."""

    name: str
    against: str
    options: tuple[str, ...]
    step: int
    cause: str
    lossy: str = "1.0"


def planted() -> list[Planted]:
    """The changes. Steps are known from how they are made: a row at `n` is in step n // 2 + 1 of a run in order."""
    made: list[Planted] = []

    def add(name: str, against: str, options: tuple[str, ...], step: int, cause: str) -> None:
        made.append(Planted(name, against, options, step, cause))

    for seed in ("0", "8", "43", "123", "2024", "99"):
        add(f"seed {seed}", "usual", ("--seed", seed), 0, "seed")
    for seed in ("3", "4", "5", "11"):
        add(f"data seed {seed}", "usual", ("--data-seed", seed), 1, "data order")
    add("no shuffling", "usual", ("--in-order",), 1, "data order")
    for name, step in (("reversed", 1), ("rotated", 1), ("swapped-6-13", 4), ("halves", 1)):
        add(f"rows {name}", "in order", ("--data", f"{name}.jsonl"), step, "data order")
    for row in (0, 3, 5, 9, 12, 15):
        add(f"row {row}", "in order", ("--data", f"row-{row}.jsonl"), row // 2 + 1, "data")
        add(f"token of row {row}", "in order", ("--data", f"token-{row}.jsonl"), row // 2 + 1, "data")
    for rate in (5.05e-3, 4.95e-3, 5.1e-3, 5.5e-3, 5.0005e-3):
        add(f"rate {rate}", "usual", ("--rate", str(rate)), 1, "learning rate")
    for dropout in (0.0, 0.05, 0.11, 0.2, 0.5):
        add(f"dropout {dropout}", "usual", ("--dropout", str(dropout)), 1, "dropout")
    add("bf16 autocast", "usual", ("--autocast",), 1, "precision")
    # The adapter's first weights are drawn in the dtype of the base.
    add("bf16 base", "usual", ("--dtype", "bfloat16"), 0, "precision")
    add("fp16 base", "usual", ("--dtype", "float16"), 0, "precision")
    for version, step in (("1.1", 1), ("1.2", 1), ("1.3", 5), ("1.4", 1)):
        made.append(Planted(f"package lossy {version}", "lossy", (), step, "package", version))
    add("attention eager", "usual", ("--attention", "eager"), ROUNDING, "attention")
    add("attention eager, in order", "in order", ("--attention", "eager"), ROUNDING, "attention")
    add("attention sdpa", "eager", ("--attention", "sdpa"), ROUNDING, "attention")
    for count in ("2", "3", "4"):
        add(f"accumulation {count}", "usual", ("--accumulation", count), 1, "accumulation")
    for tensor in ("q_proj", "embed_tokens", "lm_head", "down_proj"):
        add(f"base {tensor}", "usual", ("--base", f"base-{tensor}"), 1, "base weights")
    for number in range(4):
        add(f"template {number}", "usual", ("--base", f"base-template-{number}"), 1, "chat template")
    for count in ("3", "4"):
        add(f"batch {count}", "usual", ("--batch", count), 1, "batch size")
    add("sft: seed", "sft", ("--seed", "8"), 0, "seed")
    add("sft: rate", "sft", ("--rate", "5.05e-3"), 1, "learning rate")
    add("sft: dropout", "sft", ("--dropout", "0.2"), 1, "dropout")
    add("sft: attention", "sft", ("--attention", "eager"), ROUNDING, "attention")
    return made


LOSSY = {
    "1.0": "def scaled(loss):\n    return loss\n",
    "1.1": "def scaled(loss):\n    return loss * 1.001\n",
    "1.2": "def scaled(loss):\n    return loss * 1.00001\n",
    "1.3": "calls = []\ndef scaled(loss):\n    calls.append(1)\n    return loss * (1 if len(calls) < 5 else 1.01)\n",
    "1.4": "def scaled(loss):\n    return loss + loss * loss * 1e-3\n",
}


def make_inputs(place: Path, python: str) -> None:
    """The base and its changed copies, the rows and theirs, the releases of `lossy`."""
    environment = {**os.environ, **QUIET}
    subprocess.run([python, str(TINY), "make", "base"], cwd=place, env=environment, check=True, capture_output=True)
    for tensor in ("q_proj", "embed_tokens", "lm_head", "down_proj"):
        shutil.copytree(place / "base", place / f"base-{tensor}")
        change_weight(place / f"base-{tensor}" / "model.safetensors", tensor)
    for number in range(4):
        folder = place / f"base-template-{number}"
        shutil.copytree(place / "base", folder)
        templates = ["{% for m in messages %}U: {{ m['content'] }}{% endfor %}",
                     "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}",
                     "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}",
                     "{% for m in messages %} {{ m['content'] }}{% endfor %}"]  # fmt: skip
        (folder / "chat_template.jinja").write_text(templates[number])
    finetune.write_rows(str(place / "rows.jsonl"))
    lines = (place / "rows.jsonl").read_text().splitlines()
    swapped = list(lines)
    swapped[6], swapped[13] = swapped[13], swapped[6]
    files = {"reversed": lines[::-1], "rotated": [*lines[1:], lines[0]], "halves": [*lines[20:], *lines[:20]],
             "swapped-6-13": swapped}  # fmt: skip
    for row in (0, 3, 5, 9, 12, 15):
        other, token = list(lines), list(lines)
        other[row] = json.dumps({"text": "another row altogether"})
        words = json.loads(lines[row])["text"].split()
        words[1] = "moon"
        token[row] = json.dumps({"text": " ".join(words)})
        files |= {f"row-{row}": other, f"token-{row}": token}
    for name, held in files.items():
        (place / f"{name}.jsonl").write_text("\n".join(held) + "\n")
    for version, code in LOSSY.items():
        folder = place / f"lossy-{version}"
        (folder / f"lossy-{version}.dist-info").mkdir(parents=True)
        (folder / "lossy.py").write_text(code)
        (folder / f"lossy-{version}.dist-info" / "METADATA").write_text(f"Name: lossy\nVersion: {version}\n")


def change_weight(path: Path, name: str) -> None:
    """Other values for some bfloat16 numbers of the first tensor whose name holds `name`: the first of each row, as not
    every row of an embedding is used, and one number alone may round away."""
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensor = next(header[one] for one in sorted(header) if name in one)
    rows, columns = tensor["shape"]
    for row in range(rows):
        data[8 + length + tensor["data_offsets"][0] + 2 * row * columns + 1] ^= 0x01
    path.write_bytes(bytes(data))


class Runs:
    """Real runs in forks of one process."""

    def __init__(self, place: Path, python: str) -> None:
        self.place = place
        inside = Path(__file__).with_name("planted_inside.py")
        environment = {**os.environ, **QUIET, "HF_HOME": str(place / "hf")}
        self._server = subprocess.Popen([python, str(inside), str(HOOK)], env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)  # fmt: skip
        assert self._server.stdout is not None
        while self._server.stdout.readline() != "ready\n":
            pass
        self._done: dict[str, RunRecord] = {}

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()

    def usual(self, name: str) -> RunRecord:
        if name not in self._done:
            self._done[name] = self.run(f"usual-{name}", USUAL[name])
        return self._done[name]

    def run(
        self, name: str, options: tuple[str, ...], lossy: str = "1.0", env: Mapping[str, str] | None = None
    ) -> RunRecord:
        out = f"out-{name}".replace(" ", "-").replace(":", "").replace(",", "")
        argv = [str(FINETUNE), *BASE, "--output", out, *options]
        session = RecordSession(["python", *argv], os.environ, code_diff=False)
        job: dict[str, Any] = {
            "argv": argv, "cwd": str(self.place), "env": dict(env or {}), "run": session.environment[RUN_VARIABLE],
            "log": str(self.place / f"{out}.log"), "path": [str(self.place / f"lossy-{lossy}")],
        }  # fmt: skip
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        session.finish()
        session.close()
        if answer["status"] != 0:
            raise RuntimeError(f"{name}: {(self.place / f'{out}.log').read_text()[-2000:]}")
        folder = self.place / out
        return RunRecord(manifest=read_manifest(folder), trace=read_trace(folder))


def judged(one: Planted, runs: Runs) -> tuple[TrainJudgement, int | None]:
    """What is found, and the step that is to be named."""
    before = runs.usual(one.against)
    after = runs.run(one.name, (*USUAL[one.against], *one.options), one.lossy)
    return judge(before, after), one.step if one.step != ROUNDING else first_line_apart(before, after)


def first_line_apart(before: RunRecord, after: RunRecord) -> int | None:
    """The first step whose recorded line is another one."""
    pairs = zip(before.trace.steps if before.trace else (), after.trace.steps if after.trace else (), strict=True)
    return next((one.step for one, other in pairs if one != other), None)


def main(python: str, names: list[str]) -> None:
    right = same = 0
    chosen = [one for one in planted() if not names or any(one.name.startswith(name) for name in names)]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        make_inputs(place, python)
        runs = Runs(place, python)
        for against in sorted({one.against for one in chosen}):
            again = judge(runs.usual(against), runs.run(f"again {against}", USUAL[against]))
            print(f"{'unchanged: ' + against:<28} {again.verdict}", flush=True)
        print(f"{'planted':<28} {'verdict':<14} {'step':>4}  cause")
        for one in chosen:
            found, expected = judged(one, runs)
            step = found.first.step if found.first is not None else None
            good = found.verdict not in {"identical", "equivalent"} and (step, found.cause) == (expected, one.cause)
            right += good
            same += found.verdict in {"identical", "equivalent"}
            wrong = "" if good else f"   expected {expected}, {one.cause}"
            print(f"{one.name:<28} {found.verdict:<14} {step!s:>4}  {found.cause}{wrong}", flush=True)
        runs.close()
    print(f"{right} of {len(chosen)} named rightly, {same} called the same")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
