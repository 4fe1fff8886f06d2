"""Two runs as they are recorded, made of a few numbers: for the tests of comparing them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from envpin.manifest.trace import Trace, TraceBatch, TraceStep
from envpin.manifest.training import CodeInfo, DataFile, DatasetInfo, InitialState, TensorDigests, TrainingInfo
from envpin.manifest.types import BaseModel, Distribution, Manifest, RunInfo, SavedInfo, TokenizerInfo
from envpin.replay.training.judge import RunRecord

KERNELS: dict[str, Any] = {"attention": "sdpa", "autocast": "no", "dtype": {"float32": 10}, "threads": 2,
                           "processor": "a CPU"}  # fmt: skip
ARGUMENTS: dict[str, Any] = {"seed": 7, "data_seed": None, "learning_rate": 0.1, "weight_decay": 0.0, "bf16": False,
                             "output_dir": "out", "label_smoothing_factor": 0.0, "eval_strategy": "no"}  # fmt: skip


def manifest(**training: Any) -> Manifest:
    facts: dict[str, Any] = {"world_size": 1, "first_step": 1, "kernels": KERNELS, "arguments": ARGUMENTS,
                             "datasets": (dataset("1" * 64),), "collator": "train.collate"}  # fmt: skip
    return Manifest(
        schema=2,
        run=RunInfo(environment={"OMP_NUM_THREADS": "1"}),
        distributions=(Distribution(name="peft", version="0.18.0"), Distribution(name="torch", version="2.4.0")),
        base=BaseModel(files={"model.safetensors": "a" * 64}, dtype="float32"),
        tokenizer=TokenizerInfo(length=320, chat_template_sha256="c" * 64),
        saved=SavedInfo(kind="adapter", config={"r": 4, "lora_dropout": 0.1},
                        files={"adapter_model.safetensors": "e" * 64}),
        code=CodeInfo(script="/w/train.py", sha256="5" * 64),
        training=TrainingInfo(**{**facts, **training}),
    )  # fmt: skip


def dataset(digest: str) -> DatasetInfo:
    return DatasetInfo(name="json", files={"/w/rows.jsonl": DataFile(size=1, changed=1, sha256=digest)})


def trace(steps: int = 12, **changes: Any) -> Trace:
    """Step n has rows `n.0` and `n.1`, the loss 5 - n/10. `changes`: `initial`, `rows={step: (…)}`, `padding=word`,
    `lr=factor`, `loss={step: factor}`, `norm={step: factor}`."""
    made = []
    for number in range(1, steps + 1):
        rows = changes.get("rows", {}).get(number, (f"{number}.0", f"{number}.1"))
        made.append(
            TraceStep(
                step=number,
                loss=(5 - number / 10) * changes.get("loss", {}).get(number, 1.0),
                lr=0.1 * changes.get("lr", 1.0),
                grad_norm=1.0 * changes.get("norm", {}).get(number, 1.0),
                batch=TraceBatch(digest=changes.get("padding", " ").join(rows), rows=tuple(rows)),
            )
        )
    adapter = TensorDigests(digest=changes.get("initial", "0" * 64), count=1)
    return Trace(run="r", world_size=1, initial=InitialState(adapter=adapter), steps=tuple(made),
                 final=TensorDigests(digest=changes.get("final", "f" * 64), count=1))  # fmt: skip


def run(one: Manifest | None = None, other: Trace | None = None, *, adapter: str | None = None) -> RunRecord:
    made = one or manifest()
    if adapter is not None and made.saved is not None:
        made = replace(made, saved=replace(made.saved, files={"adapter_model.safetensors": adapter}))
    return RunRecord(manifest=made, trace=other or trace())
