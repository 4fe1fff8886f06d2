"""Pools whose threads are known, whenever Ctrl-C comes."""

from __future__ import annotations

import threading
import time

import pytest

from envpin.core.pools import started_pool


@pytest.mark.parametrize("workers", [1, 3])
def test_all_threads_run_before_anything_is_submitted(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with started_pool(workers, name="kept") as pool:
        assert sum(one.name.startswith("kept") for one in threading.enumerate()) == workers
        monkeypatch.setattr(threading.Thread, "start", _interrupted)
        assert list(pool.map(abs, range(-20, 0))) == list(range(20, 0, -1))


def test_a_thread_that_was_lost_at_its_start_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(threading.Thread, "start", _interrupted)
        started_pool(2, name="lost")
    ending = time.monotonic() + 10
    while any(one.name.startswith("lost") for one in threading.enumerate()):
        assert time.monotonic() < ending
        time.sleep(0.01)


_start = threading.Thread.start


def _interrupted(thread: threading.Thread) -> None:
    """As Ctrl-C does that comes while the start is waited for."""
    _start(thread)
    raise KeyboardInterrupt
