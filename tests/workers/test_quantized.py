"""Quantized bases with real bitsandbytes, on the CPU: each check of quantized_inside.py as a test."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.workers.test_stream import GRID, WORKERS, run_inside

INSIDE = Path(__file__).with_name("quantized_inside.py")
CHECKS = sorted(
    line.split("(")[0].removeprefix("def ")
    for line in INSIDE.read_text(encoding="utf-8").splitlines()
    if line.startswith("def check_")
)


@cache
def checked() -> dict[str, str]:
    folder = Path(mkdtemp(prefix="envpin-quantized-"))
    out = folder / "checks.jsonl"
    run_inside("qlora", INSIDE, WORKERS, GRID, folder / "scratch", out)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return {line["check"]: line["trouble"] for line in lines}


@pytest.mark.xdist_group("quantized")
@pytest.mark.parametrize("name", CHECKS, ids=lambda name: name.removeprefix("check_"))
def test_quantized(name: str) -> None:
    assert checked()[name] == "", checked()[name]
