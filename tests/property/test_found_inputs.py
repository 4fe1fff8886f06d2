"""Inputs that the fuzzers found, and their seeds: each target answers, whatever the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fuzzing import TARGETS, Files, seeds
from tests.support.places import DATA

if TYPE_CHECKING:
    from pathlib import Path

FOUND = DATA / "fuzz"


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_and_found_inputs(target: str, tmp_path: Path) -> None:
    inputs = seeds(target)
    assert inputs
    cut = [seed[: len(seed) * at // 5] for seed in inputs for at in range(5)]
    flipped = [
        bytes([*seed[:at], seed[at] ^ 0x80, *seed[at + 1 :]]) for seed in inputs for at in range(0, len(seed), 97)
    ]
    for number, data in enumerate(
        [*inputs, *cut, *flipped, *(path.read_bytes() for path in FOUND.glob(f"{target}-*"))]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        TARGETS[target](Files(folder), data)
