"""Repeated findings of a scan fold into one line, and `--all` shows each folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.support.command import envpin
from tests.support.places import DATA

if TYPE_CHECKING:
    from pathlib import Path


def test_twelve_checkpoints_that_say_the_same_are_one_line(tmp_path: Path) -> None:
    for step in range(100, 1300, 100):
        shutil.copytree(DATA / "cases" / "infer" / "dev-build" / "adapter", tmp_path / f"checkpoint-{step}")
    folded = envpin("scan", tmp_path).stdout
    rows = [line for line in folded.splitlines() if line.startswith("checkpoint-")]
    assert len(rows) == 1
    assert "and 11 more" in rows[0]
    assert "12 × adapter, steps 100 to 1200" in rows[0]
    every = envpin("scan", tmp_path, "--all").stdout
    assert len([line for line in every.splitlines() if line.startswith("checkpoint-")]) == 12


def test_folders_that_say_different_things_stay_apart(tmp_path: Path) -> None:
    shutil.copytree(DATA / "cases" / "infer" / "dev-build" / "adapter", tmp_path / "a")
    shutil.copytree(DATA / "cases" / "check" / "mlx-adapter" / "adapters", tmp_path / "b")
    shutil.copytree(DATA / "cases" / "infer" / "card-lf" / "adapter", tmp_path / "c")
    shown = envpin("scan", tmp_path).stdout
    assert [line[0] for line in shown.splitlines() if line[:2] in {"a ", "b ", "c "}] == ["b", "a", "c"]
