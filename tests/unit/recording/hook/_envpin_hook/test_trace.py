"""The lines of a trace, and the file that they are appended to."""

from __future__ import annotations

import json
import re
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from envpin.recording.injected import hook

if TYPE_CHECKING:
    from pathlib import Path

trace, training = hook("trace"), hook("training")
numbers = st.floats() | st.floats(width=32)


@given(st.integers(0, 10**9), numbers, st.none() | numbers, st.none() | numbers)
def test_step_line_is_what_the_encoder_makes(step: int, loss: float, rate: float | None, norm: float | None) -> None:
    line = {"step": step, "loss": loss, "lr": rate, **({} if norm is None else {"grad_norm": norm})}
    assert trace.step_line(step, loss, rate, norm) == trace.encoded(line)
    assert not {"NaN", "Infinity", "-Infinity"} & set(re.findall(r":([\w-]+)", trace.encoded(line))), "none is JSON"


def test_trace_file_makes_its_folder_again_where_that_vanished(tmp_path: Path) -> None:
    file = trace.TraceFile(str(tmp_path / "out" / "deep" / trace.TRACE_NAME))
    for number in (1, 2):
        file.add(trace.step_line(number, 1.0, None, None))
        file.flush()
        assert json.loads((tmp_path / "out" / "deep" / trace.TRACE_NAME).read_text())["step"] == number
        shutil.rmtree(tmp_path / "out")


def test_logged_texts_come_without_their_secrets(tmp_path: Path) -> None:
    token = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345"  # made up, in the shape of one
    watch = training.TrainingWatch()
    watch.trace = trace.TraceFile(str(tmp_path / trace.TRACE_NAME))
    trainer = SimpleNamespace(state=SimpleNamespace(global_step=3))
    watch.logged(trainer, {"loss": 1.5, "note": f"pushed with {token}", "url": "https://me:pa55@host/x"})
    (line,) = (tmp_path / trace.TRACE_NAME).read_text().splitlines()
    assert json.loads(line)["log"]["loss"] == 1.5
    assert token not in line
    assert "pa55" not in line


def test_a_line_says_of_which_run_it_is_and_begins_after_what_a_kill_cut_off(tmp_path: Path) -> None:
    path = tmp_path / trace.TRACE_NAME
    path.write_text('{"trace":1}\n{"step":1,"lo')
    file = trace.TraceFile(str(path), "r")
    for number in (1, 2):
        file.add(trace.step_line(number, 1.0, None, None))
        file.flush()
    lines = path.read_text().split("\n")
    assert lines[2:] == ['{"step":1,"loss":1.0,"lr":null,"run":"r"}', '{"step":2,"loss":1.0,"lr":null,"run":"r"}', ""]
