"""Adapters of every class of model in real environments: each case of classes_inside.py as a test."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.workers.test_stream import GRID, WORKERS, run_inside

INSIDE = Path(__file__).with_name("classes_inside.py")
CASES = re.findall(r'^    "([\w-]+)": lambda: Trained', INSIDE.read_text(encoding="utf-8"), re.MULTILINE)
ENVIRONMENTS = ("peft012", "latest")


@cache
def checked(environment: str) -> dict[str, str]:
    folder = Path(mkdtemp(prefix="envpin-classes-"))
    out = folder / "cases.jsonl"
    run_inside(environment, INSIDE, WORKERS, GRID, folder / "scratch", out)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return {line["case"]: line["trouble"] for line in lines}


@pytest.mark.parametrize(
    ("environment", "case"),
    [
        pytest.param(environment, case, marks=pytest.mark.xdist_group(f"classes-{environment}"))
        for environment in ENVIRONMENTS
        for case in CASES
    ],
)
def test_an_adapter_merges_as_the_class_that_it_was_trained_on(environment: str, case: str) -> None:
    assert checked(environment)[case] == ""
