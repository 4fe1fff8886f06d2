"""The files that a command names, digested before it runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from envpin.recording.named import named_files

if TYPE_CHECKING:
    from pathlib import Path


def test_named_files_are_those_below_the_directory_whatever_else_a_word_is(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    for name in ("launch.py", "conf/a.yaml", "rows.jsonl"):
        (tmp_path / name).write_text(name)
    (tmp_path.parent / "outside.yaml").write_text("outside")
    words = ["python", "launch.py", "--config=conf/a.yaml", str(tmp_path / "rows.jsonl"), "../outside.yaml", "conf",
             "a\0b", "x" * 5000, "--lr=1e-3", "", "absent.py"]  # fmt: skip
    names = ("launch.py", "conf/a.yaml", "rows.jsonl")
    assert named_files(words, tmp_path) == {name: hashlib.sha256(name.encode()).hexdigest() for name in names}


def test_named_files_leave_out_what_would_hold_up_the_run_or_tell_a_secret(tmp_path: Path) -> None:
    token = "hf_" + "ZzYyXxWwVvUuTtSsRrQqPpOoNnMm1234.yaml"  # made up, in the shape of one
    (tmp_path / token).write_text("a: 1")
    with (tmp_path / "huge.bin").open("wb") as stream:
        stream.truncate(9 * 1024 * 1024)
    assert named_files(["huge.bin", token], tmp_path) == {}
