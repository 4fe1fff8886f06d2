"""peft's own merges of kinds that a proof once left out or called wrong, and the same spoilt."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.workers.test_stream import WORKERS, run_inside

INSIDE = Path(__file__).with_name("proved_inside.py")
KINDS = (
    "adalora", "boft", "vera", "pissa-head", "pissa-dora", "caret", "bert-biases", "bart-grown", "tokens-grown",
)  # fmt: skip


@cache
def judged() -> dict[str, dict[str, list[int]]]:
    with TemporaryDirectory(prefix="envpin-proved-") as folder:
        out = Path(folder, "judged.json")
        run_inside("latest", INSIDE, WORKERS, folder, out)
        found: dict[str, dict[str, list[int]]] = json.loads(out.read_text(encoding="utf-8"))
    return found


@pytest.mark.xdist_group("proved")
@pytest.mark.parametrize("kind", KINDS)
def test_pefts_own_merge_is_proved_and_a_spoilt_one_is_not(kind: str) -> None:
    found = judged()[kind]
    assert found.pop("right") == [0, 0]
    assert all(wrong for wrong, _ in found.values()), found


@pytest.mark.xdist_group("proved")
def test_every_kind_is_asked_about() -> None:
    assert set(judged()) == set(KINDS)
