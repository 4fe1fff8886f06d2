"""Reading a trace: whole, cut off by a kill, of several runs, hostile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError
from envpin.manifest.trace import TRACE_NAME, read_trace

if TYPE_CHECKING:
    from pathlib import Path

HEAD = '{"trace":1,"run":"%s","first":1,"world_size":1,"initial":{"adapter":{"digest":"ab","count":1}}}'
STEP = (
    '{"step":%d,"loss":%s,"lr":0.1,"grad_norm":1.5,"batch":{"digest":"d","micro":1,"shapes":[[2,4]],"rows":["a","b"]}}'
)


def write(folder: Path, *lines: str) -> Path:
    (folder / TRACE_NAME).write_text("\n".join(lines))
    return folder


def test_a_trace_is_read_to_the_line_that_a_kill_cut_off(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, HEAD % "r", STEP % (1, 2), STEP % (2, '"nan"'), '{"log":{"step":2,"loss":2.5}}',
                             (STEP % (3, 1))[:40]))  # fmt: skip
    assert trace is not None
    assert [(one.step, one.loss) for one in trace.steps] == [(1, 2.0), (2, "nan")]
    assert trace.logs == ({"step": 2.0, "loss": 2.5},)
    assert trace.final is None
    assert trace.initial is not None
    assert trace.initial.adapter is not None
    assert trace.steps[0].batch is not None
    assert trace.steps[0].batch.rows == ("a", "b")


def test_the_trace_of_the_named_run_is_taken_else_the_last(tmp_path: Path) -> None:
    end = '{"end":{"step":1,"adapter":{"digest":"ff","count":1}}}'
    folder = write(tmp_path, HEAD % "one", STEP % (1, 1), end, HEAD % "two", STEP % (1, 2))
    losses = [read.steps[0].loss for run in ("one", "two", None, "other") if (read := read_trace(folder, run))]
    assert losses == [1.0, 2.0, 2.0, 2.0]
    first = read_trace(folder, "one")
    assert first is not None
    assert first.final is not None
    assert first.final.digest == "ff"


def test_runs_that_wrote_at_the_same_time_are_told_apart_and_a_cut_line_ends_nothing(tmp_path: Path) -> None:
    def of(run: str, line: str) -> str:
        return f'{line[:-1]},"run":"{run}"}}'

    lines = [HEAD % "one", HEAD % "two", of("two", STEP % (1, 2)), of("one", STEP % (1, 1)), (STEP % (2, 1))[:30],
             of("two", '{"end":{"step":1,"adapter":{"digest":"22","count":1}}}'), of("one", STEP % (2, 3))]  # fmt: skip
    found = [read_trace(write(tmp_path, *lines), run) for run in ("one", "two")]
    assert [[one.loss for one in trace.steps] for trace in found if trace is not None] == [[1.0, 3.0], [2.0]]
    assert [trace.final is not None for trace in found if trace is not None] == [False, True]


@pytest.mark.parametrize("data", ["", "\n\n", "no json", '{"step": "one"}', "[" * 5000, '{"trace": [1]}',
                                  b'{"run": "\xff"}'])  # fmt: skip
def test_what_is_no_trace_is_none_or_empty(tmp_path: Path, data: str | bytes) -> None:
    (tmp_path / TRACE_NAME).write_bytes(data.encode() if isinstance(data, str) else data)
    assert read_trace(tmp_path) is None
    assert read_trace(tmp_path / "elsewhere") is None


def test_a_trace_far_too_large_is_refused(tmp_path: Path) -> None:
    with (tmp_path / TRACE_NAME).open("wb") as stream:
        stream.truncate(17 * 1024 * 1024)
    with pytest.raises(InputError, match="too large for a trace"):
        read_trace(tmp_path)
