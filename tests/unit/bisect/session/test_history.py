"""The log survives being cut anywhere; the cache never lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from envpin.bisect.session.history import Log, VerdictCache
from envpin.bisect.session.outcome import ProbeOutcome
from envpin.core.errors import DiskFullError, InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path


def filled(path: Path, count: int = 4) -> Log:
    log = Log(path)
    log.append("question", schema=1, question={"package": "pkg"})
    for number in range(count):
        log.append("skip", version=f"1.{number}", reason="ü\n'")
    return log


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    filled(path)
    lines = path.read_text().splitlines()
    for bad in ("{", "[]", '{"no": "event"}', "\x00\x00", '{"event": "skip"}', '{"event": "probe", "version": 1}',
                '{"event": "nosuch"}', "[" * 100000):  # fmt: skip
        path.write_text("\n".join([lines[0], bad, *lines[2:]]) + "\n")
        with pytest.raises(InputError, match="line 2 of"):
            Log(path)


@pytest.mark.parametrize("text", ['{"event": "probe"}\n', '{"event": "question", "schema": 99}\n'])
def test_what_is_not_a_log_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"begin with its question|schema 99"):
        Log(path)
    with pytest.raises(InputError, match="cannot be read"):
        Log(tmp_path)


def test_a_disk_that_refuses_stops_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(tmp_path / "log.jsonl")
    before = log.path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError, match="no space left"):
        log.append("skip", version="2.0", reason="")
    monkeypatch.undo()
    assert Log(log.path).append("skip", version="3.0", reason="")
    assert Log(log.path).path.read_bytes().startswith(before)
    unwritable = Log(tmp_path / "folder" / "log.jsonl")
    (tmp_path / "folder").write_text("a file where the folder should be")
    with pytest.raises(InfrastructureError):
        unwritable.append("question")


def test_the_cache_gives_back_what_was_put_and_ignores_damage(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path)
    assert cache.get("ab12") is None
    passed = ProbeOutcome(status="passed", seconds=1.5, details={"moved": 0.1})
    cache.put("ab12", passed)
    assert cache.get("ab12") == passed
    for damage in ('{"outcome": ', "[]", '{"outcome": {}}', '{"outcome": {"status": "nosuch"}}'):
        (tmp_path / "ab" / "ab12.json").write_text(damage)
        assert cache.get("ab12") is None
    VerdictCache(tmp_path / "ab" / "ab12.json").put("cd", passed)  # a disk that refuses it is no error


@pytest.mark.parametrize(
    ("event", "fields", "words"),
    [
        ("setup", {"weights": [1.0, -1.0]}, "positive"),
        ("setup", {"weights": [1.0]}, "each of two candidates"),
        ("setup", {"axis": None}, "Expected"),
        ("conclusion", {"low": 0, "high": 7}, "releases that the search does not have"),
        ("conclusion", {"low": -1, "high": 1}, "releases that the search does not have"),
        ("conclusion", {"kind": "sure"}, "Invalid enum"),
    ],
)
def test_what_a_log_from_elsewhere_gets_wrong_is_said(
    tmp_path: Path, event: str, fields: dict[str, Any], words: str
) -> None:
    log = filled(tmp_path / "log.jsonl")
    candidates = [{"version": "1.0"}, {"version": "1.1"}]
    whole: dict[str, dict[str, Any]] = {
        "setup": {"axis": {"candidates": candidates}, "weights": [1.0, 1.0], "costs": [1.0, 1.0], "uploaded": {},
                  "reasons": {}},
        "conclusion": {"kind": "named", "low": 0, "high": 1, "probability": 1.0, "certain": True, "noisy": False,
                       "others": []},
    }  # fmt: skip
    for name, record in whole.items():
        log.append(name, **{**record, **(fields if name == event else {})})
    with pytest.raises(InputError, match=words):
        Log(log.path)
