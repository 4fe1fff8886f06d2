"""A session of a worker: one process, a fork for each request. Any interpreter serves, since no library is needed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import WorkerBrokenError
from envpin.host.session import WorkerSession
from envpin.host.verbs import TinyModelCall
from envpin.host.worker import SMALL_PAGES, WorkerError

if TYPE_CHECKING:
    from envpin.core.events import Event

pytestmark = pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="there each request has its own process")
PYTHON = Path(sys.executable)


def config_of(family: str, folder: Path) -> TinyModelCall:
    return TinyModelCall(family=family, folder=str(folder), weights=False)


def children() -> set[int]:
    """The processes that this one started, and theirs."""
    found = {os.getpid()}
    for _ in range(3):
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text(encoding="ascii").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) in found and fields[0] != "Z":
                found.add(int(path.parent.name))
    return found - {os.getpid()}


def test_each_request_is_answered_by_a_fork_of_one_process(tmp_path: Path) -> None:
    before = children()
    with WorkerSession(PYTHON, imports=("json", "no_such_module", "json:no_such_name")) as session:
        for name in ("one", "two"):
            session.call(config_of("llama3.1", tmp_path / name))
            assert (tmp_path / name / "config.json").is_file()
        assert len(children() - before) == 1
    assert children() <= before


@pytest.mark.parametrize(("env", "pages"), [(None, b"1"), (SMALL_PAGES, b"0")])
def test_a_worker_has_the_pages_that_were_asked_for(env: dict[str, str] | None, pages: bytes) -> None:
    before = children()
    with WorkerSession(PYTHON, env=env):
        (child,) = children() - before
        variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
    assert b"THP_MEM_ALLOC_ENABLE=" + pages in variables


def test_a_known_error_is_no_end_of_the_session(tmp_path: Path) -> None:
    with WorkerSession(PYTHON) as session:
        with pytest.raises(WorkerError, match="no-such-family"):
            session.call(config_of("no-such-family", tmp_path / "one"))
        session.call(config_of("qwen2", tmp_path / "two"))


def test_a_fork_that_breaks_says_why_and_is_no_end_of_the_session(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with WorkerSession(PYTHON) as session:
        with pytest.raises((WorkerBrokenError, WorkerError), match=r"weights|torch|file"):
            session.call(TinyModelCall(family="qwen2", folder=str(tmp_path / "file" / "below")))
        session.call(config_of("qwen2", tmp_path / "two"))


def test_an_interpreter_that_ends_at_once_is_an_error_with_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'this is no Python' >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    with WorkerSession(broken) as session, pytest.raises(WorkerBrokenError, match="status 3 and no answer") as caught:
        session.call(config_of("qwen2", tmp_path / "one"))
    assert "this is no Python" in str(caught.value)


def test_leaving_early_ends_the_process(tmp_path: Path) -> None:
    before = children()
    events: list[Event] = []
    with pytest.raises(KeyboardInterrupt), WorkerSession(PYTHON) as session:
        session.call(config_of("llama3.1", tmp_path / "one"), listener=events.append)
        raise KeyboardInterrupt
    deadline = time.monotonic() + 5
    while children() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children() <= before
