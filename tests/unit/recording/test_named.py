"""The files that a command names, digested before it runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from envpin.recording.named import named_files

if TYPE_CHECKING:
    from pathlib import Path


def test_named_files_are_the_files_that_are_named_whatever_else_a_word_is(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    for name in ("launch.py", "conf/a.yaml", "rows.jsonl"):
        (tmp_path / name).write_text(name)
    beside = tmp_path.parent
    whole = str(beside / "whole.yaml")
    for name in ("outside.yaml", whole, "python3.11", "tool"):
        (beside / name).write_text(name if name == whole else f"../{name}")
    words = ["../python3.11", str(beside / "tool"), "launch.py", "--config=conf/a.yaml", str(tmp_path / "rows.jsonl"),
             "../outside.yaml", whole, "conf", "a\0b", "x" * 5000, "--lr=1e-3", "", "absent.py"]  # fmt: skip
    names = ("launch.py", "conf/a.yaml", "rows.jsonl", "../outside.yaml", whole)
    assert named_files(words, tmp_path) == {name: hashlib.sha256(name.encode()).hexdigest() for name in names}


def test_named_files_leave_out_what_would_hold_up_the_run_or_tell_a_secret(tmp_path: Path) -> None:
    token = "hf_" + "ZzYyXxWwVvUuTtSsRrQqPpOoNnMm1234.yaml"  # made up, in the shape of one
    (tmp_path / token).write_text("a: 1")
    with (tmp_path / "huge.bin").open("wb") as stream:
        stream.truncate(9 * 1024 * 1024)
    assert named_files(["huge.bin", token], tmp_path) == {}
