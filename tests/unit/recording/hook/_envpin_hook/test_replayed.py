"""Where a repeat writes, and that it finds there what it looks for by the recorded name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from envpin.recording.injected import hook

if TYPE_CHECKING:
    from pathlib import Path

replayed = hook("replayed")


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "working"
    folder.mkdir()
    asked = {"from": "/recorded/out", "to": str(tmp_path / "again"), "steps": None, "relative": "out",
             "working": str(folder), "root": str(tmp_path)}  # fmt: skip
    monkeypatch.setenv("ENVPIN_REPLAY", json.dumps(asked))
    monkeypatch.setattr(replayed, "_asked", None)
    monkeypatch.chdir(folder)
    return folder


def save(path: str) -> str:
    (moved,), _ = replayed.moved_call((path,), {})
    return str(moved)


@pytest.mark.parametrize("made", [None, "out", "out/log.txt"])
def test_what_is_saved_elsewhere_is_found_by_its_name(working: Path, tmp_path: Path, made: str | None) -> None:
    if made is not None:
        (working / "out").mkdir()
    if made == "out/log.txt":
        (working / made).write_text("mine")
    target = save("out/final")
    assert target == str(tmp_path / "again" / "final")
    (tmp_path / "again" / "final").mkdir(parents=True)
    assert (working / "out" / "final").is_dir()
    assert made != "out/log.txt" or (working / made).read_text() == "mine"


def test_a_script_that_went_elsewhere_saves_where_the_run_did(
    working: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (working / "deep").mkdir()
    monkeypatch.chdir(working / "deep")
    again = tmp_path / "again"
    assert replayed.moved("../out/one") == str(again / "one")
    assert replayed.moved("out/two") == "out/two"  # another folder of that name, collected as such
    assert replayed.moved("../other") == "../other"
    assert replayed.moved("/data/other") == str(again / "elsewhere" / "other")
    assert replayed.moved("/recorded/out/three") == str(again / "three")


def test_nothing_is_linked_before_the_first_save(working: Path) -> None:
    replayed.moved("out")
    save("elsewhere")
    assert not list(working.iterdir())
