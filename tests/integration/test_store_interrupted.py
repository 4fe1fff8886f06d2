"""Ctrl-C where a random moment hardly hits: while a thread starts, and while what was begun is removed."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from envpin.core.scratch import scratch
from envpin.envs.locks.lock import parse_lock
from envpin.envs.machine import default_python
from envpin.envs.store.identity import EnvironmentSpec
from envpin.envs.store.store import Store
from tests.support.wheels import lock_of, make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnvironmentSpec:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    lock = parse_lock(lock_of(make_wheel(tmp_path / "wheels", "alpha", "1.0")))
    return EnvironmentSpec(name="test", lock=lock, python=default_python())


def test_ctrl_c_at_the_start_of_any_thread_leaves_nothing(tmp_path: Path, spec: EnvironmentSpec) -> None:
    started = 0
    while True:
        store = Store(tmp_path / f"store{started}")
        before = set(threading.enumerate())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading.Thread, "start", _interrupting_at(started))
            try:
                store.ensure(spec)
            except KeyboardInterrupt:
                pass
            else:
                break
        for thread in set(threading.enumerate()) - before:
            thread.join(30)
        assert list(store.root.glob("environments/.building/*")) == []
        assert store.list() == ()
        started += 1
    assert started >= 1


def test_a_second_ctrl_c_does_not_keep_the_first_from_tidying(
    tmp_path: Path, spec: EnvironmentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    monkeypatch.setattr("envpin.envs.store.build._install", _interrupted)
    monkeypatch.setattr(shutil, "rmtree", _InterruptOnce().rmtree)
    with pytest.raises(KeyboardInterrupt):
        store.ensure(spec)
    assert list(store.root.glob("environments/.building/*")) == []


def test_ctrl_c_while_a_scratch_folder_is_removed_removes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt), scratch("test") as folder:
        (folder / "file").touch()
        monkeypatch.setattr(shutil, "rmtree", _InterruptOnce().rmtree)
    assert not folder.exists()


def _interrupting_at(turn: int) -> Callable[[threading.Thread], None]:
    """A `Thread.start` that Ctrl-C ends while the main thread waits for its n-th; the started thread goes on."""
    start, seen = threading.Thread.start, 0

    def started(thread: threading.Thread) -> None:
        nonlocal seen
        start(thread)
        if threading.current_thread() is threading.main_thread():
            seen += 1
            if seen == turn + 1:
                raise KeyboardInterrupt

    return started


class _InterruptOnce:
    def __init__(self) -> None:
        self._rmtree = shutil.rmtree
        self._is_over = False

    def rmtree(self, path: Path, **options: Any) -> None:
        if not self._is_over:
            self._is_over = True
            raise KeyboardInterrupt
        self._rmtree(path, **options)


def _interrupted(*_arguments: object, **_options: object) -> None:
    raise KeyboardInterrupt
