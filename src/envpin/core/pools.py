"""Pools of threads that Ctrl-C cannot make forget one of their own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor


def started_pool(workers: int, *, name: str = "") -> ThreadPoolExecutor:
    """A pool of so many threads, all of them running already.

    `ThreadPoolExecutor.submit` starts a thread and notes it after that. Ctrl-C while it waits for the start leaves a
    thread that works on what was submitted and that leaving the pool does not wait for: what the thread then writes
    stays behind whoever removed its folder. A thread that was started here is noted, or ends at once.
    """
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix=name)
    gate = threading.Barrier(workers + 1)
    try:
        for _ in range(workers):
            pool.submit(_wait, gate)
        gate.wait()
    except BaseException:
        gate.abort()
        pool.shutdown(cancel_futures=True)
        raise
    return pool


def _wait(gate: threading.Barrier) -> None:
    try:
        gate.wait()
    except threading.BrokenBarrierError:
        return  # the pool is given up
