"""Adapters from real use, rebuilt with tiny weights (tests/data/cases/merge): `replay merge` gives what peft's own
reload and merge give, bit for bit, whatever the method and the class."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command import envpin

if TYPE_CHECKING:
    from envpin.core import process

CASES = Path(__file__).resolve().parents[1] / "data" / "cases" / "merge"
LATEST = "transformers==5.24.0,peft==0.21.2,torch==2.13.0,accelerate,safetensors"
BEFORE = "transformers==4.57.6,peft==0.18.1,torch==2.13.0,accelerate,safetensors"
ENVIRONMENTS = {
    "init-pissa": LATEST,
    "lntuning": LATEST,
    "qwen35-text-class": LATEST,
    "randlora": LATEST,
    "randlora-nosave": LATEST,
    "seqcls-score-head": BEFORE,
    "shira": LATEST,
    "vblora": LATEST,
    "vblora-topk": LATEST,
    "vit-same-labels": BEFORE,
}
# Their singular value decomposition rounded otherwise on the machine that made the expected files (docs/adr/0057).
DECOMPOSED = {"init-pissa"}


def stored(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Every tensor of the safetensors file as dtype, shape and bytes."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    start = 8 + length
    return {
        name: (
            entry["dtype"],
            tuple(entry["shape"]),
            data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]],
        )
        for name, entry in header.items()
    }


def nearly(one: tuple[str, tuple[int, ...], bytes], other: tuple[str, tuple[int, ...], bytes]) -> bool:
    """Whether two bf16 tensors differ in few elements, and by no more than their largest are rounded by."""
    first, second = (
        struct.unpack(f"<{len(data) // 2}f", b"".join(b"\0\0" + data[at : at + 2] for at in range(0, len(data), 2)))
        for _, _, data in (one, other)
    )
    steps = [abs(ours - theirs) for ours, theirs in zip(first, second, strict=True) if ours != theirs]
    return (
        one[:2] == other[:2]
        and one[0] == "BF16"
        and max(steps) <= max(map(abs, second)) / 256
        and len(steps) < len(first) / 100
    )


def merged(name: str, out: Path, *words: str) -> process.Completed:
    return envpin("replay", "merge", CASES / name / "adapter", "-o", out, "--environment", ENVIRONMENTS[name], *words)


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_case_gives_what_peft_gives(name: str, tmp_path: Path) -> None:
    completed = merged(name, tmp_path / "merged")
    assert completed.status == 0, completed.stderr[-3000:]
    found = stored(tmp_path / "merged" / "model.safetensors")
    wanted = stored(CASES / name / "expected.safetensors")
    base = CASES / name / "base" if (CASES / name / "base").exists() else CASES / "base"
    untouched = {key: one for key, one in stored(base / "model.safetensors").items() if key not in wanted}
    unlike = [
        key
        for key, one in {**untouched, **wanted}.items()
        if found.get(key) != one and not (name in DECOMPOSED and nearly(found[key], one))
    ]
    assert unlike == []
    assert set(found) == set(wanted) | set(untouched)
