"""A history of a bisect that was cut at any byte keeps every whole record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from envpin.bisect.session.history import Log, read_records

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def filled(path: Path, count: int = 4) -> Log:
    log = Log(path)
    log.append("question", schema=1, question={"package": "pkg"})
    for number in range(count):
        log.append("skip", version=f"1.{number}", reason="ü\n'")
    return log


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_log_cut_at_any_byte_keeps_every_whole_record_and_goes_on(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    filled(path)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    expected = [json.loads(line) for line in whole[:cut].split(b"\n")[:-1]]
    log = Log(path)
    assert log.records == expected
    if expected:
        log.append("skip", version="later", reason="")
    else:
        log.append("question", schema=1, question={})
    assert read_records(path)[0] == log.records
    assert path.read_bytes().endswith(b"\n")
