"""A sample of benchmarks/kills.py: 24 kills, 500 of them under `make test-all`."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.support.killing import VICTIMS, Victim, kill_often

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = {"env create": 6, "env verify": 4, "record": 6, "bisect": 3, "sweep": 3, "merge": 2}
MANY = {"env create": 150, "env verify": 100, "record": 125, "bisect": 50, "sweep": 50, "merge": 25}


@pytest.mark.parametrize("kind", VICTIMS, ids=lambda kind: kind.name)
def test_a_killed_command_leaves_a_whole_result_or_none_and_nothing_else(kind: type[Victim], tmp_path: Path) -> None:
    kills = (MANY if os.environ.get("ENVPIN_TEST_ALL") else SAMPLE)[kind.name]
    victim = kind(tmp_path / "victim")
    try:
        tally = kill_often(victim, kills, random.Random(f"test/{kind.name}"))
    finally:
        victim.close()
    assert tally["kills"] == kills, tally
    assert tally.is_good, tally.said
