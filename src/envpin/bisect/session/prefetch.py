"""Work beside a running probe: environments built before they are wanted, and probes that run side by side."""

from __future__ import annotations

import contextlib
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from envpin.core.errors import EnvpinError
from envpin.core.pools import started_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable

Wanted = TypeVar("Wanted", bound="Hashable")


class Prefetch(Generic[Wanted]):
    """Calls `fetch` for what may be wanted next, one at a time, each at most once. What fails there fails again where
    it is really wanted. None: nothing is fetched."""

    def __init__(self, fetch: Callable[[Wanted], object] | None) -> None:
        self._fetch = fetch
        self._pool = started_pool(1)
        self._asked: set[Wanted] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def ask(self, wanted: Iterable[Wanted]) -> None:
        if self._fetch is None:
            return
        for one in wanted:
            if one not in self._asked:
                self._asked.add(one)
                self._pool.submit(_quietly, self._fetch, one)


def _quietly(fetch: Callable[[Wanted], object], wanted: Wanted) -> None:
    with contextlib.suppress(EnvpinError):
        fetch(wanted)


def finished(running: Collection[Future[Any]]) -> list[Future[Any]]:
    """Wait for at least one and give those that have ended, failures last. After a failure all are waited for: what the
    others had begun is worth keeping."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    if any(future.exception() for future in done):
        done, _ = wait(running)
    return sorted(done, key=lambda one: one.exception() is not None)
