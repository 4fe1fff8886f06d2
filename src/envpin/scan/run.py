"""A whole scan: walk, then examine what was found, in several processes where there is much of it."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from envpin.core.events import Progress, Step, ignore
from envpin.core.sizes import counted
from envpin.scan.entry import ScanEntry, Scanned
from envpin.scan.examine import Examiner
from envpin.scan.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpin.core.events import Listener
    from envpin.envs.store.receipt import Receipt
    from envpin.envs.store.store import Store
    from envpin.scan.walk import Spot

# Below this, starting processes takes longer than the work.
_ALONE = 256
# Folders handed to a process at once: enough to hide the handing, few enough that none ends long after the rest.
_CHUNK = 64
_TOLD_EVERY = 0.1  # seconds


def scan(
    root: Path,
    *,
    store: Store,
    follow_links: bool = False,
    jobs: int | None = None,
    infers: bool = True,
    listener: Listener = ignore,
) -> Scanned:
    """Every model, adapter and checkpoint below `root`. The network is never asked, and nothing is written.

    `jobs` is the number of processes, by default one for each core. Without `infers`, versions that were not recorded
    are left open, which saves half of the time.

    Raises:
        InputError: `root` is no folder, or cannot be read.
    """
    began = time.monotonic()
    root = root.absolute()
    title = f"look for checkpoints below {root}"
    listener(Step(key="walk", title=title))
    walked = walk(root, follow_links=follow_links, listener=listener)
    spots = walked.spots
    detail = f"{len(spots):,} in {counted(walked.folders, 'folder')}"
    listener(Step(key="walk", title=title, state="done", detail=detail))
    receipts = {environment.key: environment.receipt for environment in store.list()}
    listener(Step(key="examine", title="examine them"))
    entries: list[ScanEntry] = []
    told = 0.0
    for entry in _examined(root, spots, receipts, jobs, infers):
        entries.append(entry)
        if time.monotonic() - told > _TOLD_EVERY:
            told = time.monotonic()
            listener(Progress(key="examine", done=len(entries), total=len(spots), unit="folders"))
    listener(Step(key="examine", title="examine them", state="done", detail=f"{len(entries):,}"))
    return Scanned(
        root=str(root),
        entries=tuple(sorted(entries, key=lambda entry: entry.sort_key)),
        folders=walked.folders,
        unreadable={str(path.relative_to(root)): reason for path, reason in walked.unreadable},
        links=tuple(str(path.relative_to(root)) for path in walked.links),
        seconds=round(time.monotonic() - began, 3),
    )


def _examined(
    root: Path, spots: list[Spot], receipts: dict[str, Receipt], jobs: int | None, infers: bool
) -> Iterator[ScanEntry]:
    workers = min(jobs or os.cpu_count() or 1, -(-len(spots) // _CHUNK))
    alone = Examiner(root, receipts, infers=infers)
    if workers < 2 or (jobs is None and len(spots) <= _ALONE):
        yield from map(alone.examine, spots)
        return
    chunks = [spots[at : at + _CHUNK] for at in range(0, len(spots), _CHUNK)]
    left = set(range(len(chunks)))
    # `spawn`: a process that draws its progress has threads, and must not be forked.
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(root, receipts, infers)
    )
    try:
        with _interrupts_ignored():  # by the new processes, for good: Ctrl-C is the parent's
            running = {pool.submit(_examine_chunk, chunk): at for at, chunk in enumerate(chunks)}
        with contextlib.suppress(BrokenProcessPool):  # a killed process (out of memory): go on in this one
            for future in as_completed(running):
                found = future.result()
                left.discard(running[future])
                yield from found
    finally:
        # After Ctrl-C nothing that waits is begun, and what runs ends with its chunk.
        pool.shutdown(wait=False, cancel_futures=True)
    for at in sorted(left):
        yield from map(alone.examine, chunks[at])


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_examiner: Examiner | None = None


def _begin(root: Path, receipts: dict[str, Receipt], infers: bool) -> None:
    global _examiner  # noqa: PLW0603  the one state of a process of the pool
    gc.set_threshold(50_000)  # as in the process that the user started (cli/main.py): there are hardly any cycles
    _examiner = Examiner(root, receipts, infers=infers)


def _examine_chunk(spots: list[Spot]) -> list[ScanEntry]:
    if _examiner is None:
        raise RuntimeError("this process of the pool was not prepared")
    return [_examiner.examine(spot) for spot in spots]
