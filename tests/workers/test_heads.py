"""A head of several layers, trained whole next to adapters of each method, stays what training left in it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.workers.test_stream import WORKERS, run_inside

INSIDE = Path(__file__).with_name("heads_inside.py")
METHODS = ("vera", "ia3", "fourierft", "lntuning", "lora")
ENVIRONMENTS = ("latest", "peft012")


@cache
def left(environment: str) -> dict[str, tuple[float, list[str]]]:
    with TemporaryDirectory(prefix="envpin-heads-") as folder:
        out = Path(folder, "left.json")
        run_inside(environment, INSIDE, WORKERS, out, *METHODS)
        found: dict[str, tuple[float, list[str]]] = json.loads(out.read_text(encoding="utf-8"))
    return found


@pytest.mark.xdist_group("heads")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_merge_keeps_a_head_of_several_layers(environment: str, method: str) -> None:
    off, wrappers = left(environment)[method]
    assert off < 1e-5
    assert wrappers == []
