"""The record of a merge, whole, for tests of what reads one; and a folder whose bytes are what it says."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from envpin.replay.record import FILE_NAME, EnvironmentUsed, InputFolder, MergeRecord, encode
from envpin.replay.verdict import EnvironmentDifference, Kind, Verdict
from tests.support.checkpoints import llama_shapes, write_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DIGEST = "ab" * 32
TOUCHED = ("model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.weight")
PACKAGES = {"peft": "0.12.0", "torch": "2.4.0", "transformers": "4.43.1", "idna": "3.7"}
DRIFT = EnvironmentDifference(what="torch", recorded="2.4.0+cu121", rebuilt="2.4.0+cpu", cls="torch-build")
VERIFICATION: dict[str, Any] = {
    "recomputed": {"tensors": 2, "rows": 64, "worst": 0.75}, "equal": ["model.embed_tokens.weight"], "untouched": 18,
    "dequantized": 0, "changed": 3, "added": [], "dropped": [], "not_recomputed": [],
    "probe": {"moved": 0.5, "noise": 0.002, "ratio": 0.004, "expected": 0.01}, "probe_note": None,
}  # fmt: skip


def merge_record(
    *, kind: Kind = "identical", names: Sequence[str] = (*llama_shapes(),), files: dict[str, str] | None = None,
    differences: Sequence[EnvironmentDifference] = (), verification: dict[str, Any] | None = None,
    notes: Sequence[str] = (), base_id: str | None = "org/base", further: Sequence[InputFolder] = (),
) -> MergeRecord:  # fmt: skip
    operations = [{"tensors": [name], "kind": "lora"} for name in (*TOUCHED, "model.embed_tokens.weight")]
    return MergeRecord(
        schema=1, envpin="0.1.0", created="2026-11-28T12:00:00+00:00", inputs_digest="652d197bd3e17075",
        verdict=Verdict(kind=kind, differences=tuple(differences), base_weights="equal"),
        adapter=InputFolder(path="/home/ada/adapter", files={"adapter_model.safetensors": DIGEST}),
        base=InputFolder(path="/home/ada/base", files={"model.safetensors": DIGEST}, id=base_id,
                         commit="c" * 40 if base_id else None, found="named by the adapter"),
        environment=EnvironmentUsed(key="k", lock_sha256=DIGEST, python="3.11.7", packages=PACKAGES, basis="manifest",
                                    reference="llama3.1"),
        engine="stream", embedding={"action": "grow", "rows": 321},
        merge={"engine": "stream", "operations": operations,
               "tensors": {name: ["model.safetensors", 1, 0, 4] for name in names}},
        verification=VERIFICATION if verification is None else verification,
        files={"model.safetensors": DIGEST} if files is None else files, notes=tuple(notes), further=tuple(further),
    )  # fmt: skip


def write_merged(folder: Path, **changes: Any) -> Path:
    """A merged model whose files are those of its record."""
    write_model(folder, llama_shapes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"x": 1}))
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    (folder / FILE_NAME).write_bytes(encode(merge_record(files=files, **changes)))
    return folder
