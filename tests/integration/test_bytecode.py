"""Whose byte code a worker runs: its own of before, never what lies next to a source or was replaced since."""

from __future__ import annotations

import importlib.util
import marshal
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpin.core.marks import BYTECODE
from envpin.envs.locks.lock import parse_lock
from envpin.envs.machine import default_python
from envpin.envs.store.environment import site_packages
from envpin.envs.store.identity import EnvironmentSpec
from envpin.envs.store.store import Store
from envpin.host.session import WorkerSession
from envpin.host.verbs import TinyModelCall
from tests.support.wheels import lock_of, make_wheel

if TYPE_CHECKING:
    from envpin.envs.store.environment import Environment

pytestmark = pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="there each request has its own process")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """One with a package that says that its own source ran, by a file."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    code = f"import pathlib\npathlib.Path({str(tmp_path / 'good')!r}).touch()\n"
    wheel = make_wheel(tmp_path / "wheels", "alpha", "1.0", files={"alpha/__init__.py": code})
    spec = EnvironmentSpec(name="test", lock=parse_lock(lock_of(wheel)), python=default_python())
    return Store(tmp_path / "store").ensure(spec)


def run_worker(environment: Environment, tmp_path: Path) -> None:
    """A worker that has imported the package, and has answered."""
    (tmp_path / "good").unlink(missing_ok=True)
    with WorkerSession(environment.python, imports=("alpha",)) as session:
        session.call(TinyModelCall(family="qwen2", folder=str(tmp_path / "made"), weights=False))


def plant(place: Path, source: Path, tmp_path: Path) -> None:
    """Byte code of other code at `place` that Python takes for that of `source`."""
    status = source.stat()
    evil = compile(f"import pathlib\npathlib.Path({str(tmp_path / 'evil')!r}).touch()\n", str(source), "exec")
    header = importlib.util.MAGIC_NUMBER + bytes(4)
    header += int(status.st_mtime).to_bytes(4, "little") + status.st_size.to_bytes(4, "little")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(header + marshal.dumps(evil))


def compiled(environment: Environment) -> Path:
    """What workers have compiled of the package."""
    (found,) = (environment.path.parent / BYTECODE / environment.key).rglob("alpha/__init__.*.pyc")
    return found


def test_byte_code_next_to_a_source_is_not_run(environment: Environment, tmp_path: Path) -> None:
    source = site_packages(environment.path) / "alpha" / "__init__.py"
    plant(Path(importlib.util.cache_from_source(str(source))), source, tmp_path)
    run_worker(environment, tmp_path)
    assert (tmp_path / "good").exists()
    assert not (tmp_path / "evil").exists()


def test_own_byte_code_is_used_again(environment: Environment, tmp_path: Path) -> None:
    run_worker(environment, tmp_path)
    first = compiled(environment).stat()
    run_worker(environment, tmp_path)
    assert (compiled(environment).stat().st_ino, compiled(environment).stat().st_mtime_ns) == (
        first.st_ino,
        first.st_mtime_ns,
    )
    assert (tmp_path / "good").exists()


def test_own_byte_code_that_was_replaced_is_not_run(environment: Environment, tmp_path: Path) -> None:
    run_worker(environment, tmp_path)
    source = site_packages(environment.path) / "alpha" / "__init__.py"
    victim = compiled(environment)
    before = victim.stat()
    plant(victim, source, tmp_path)
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    run_worker(environment, tmp_path)
    assert (tmp_path / "good").exists()
    assert not (tmp_path / "evil").exists()


def test_byte_code_of_an_unknown_run_is_not_run(environment: Environment, tmp_path: Path) -> None:
    """A link to another folder, a file that nobody remembers, and a list of what is known that is no list."""
    run_worker(environment, tmp_path)
    folder = environment.path.parent / BYTECODE / environment.key
    source = site_packages(environment.path) / "alpha" / "__init__.py"
    plant(compiled(environment), source, tmp_path)
    (folder / "known.json").write_text("{")
    run_worker(environment, tmp_path)
    moved = folder.rename(tmp_path / "elsewhere")
    plant(next(moved.rglob("alpha/__init__.*.pyc")), source, tmp_path)
    folder.symlink_to(moved)
    run_worker(environment, tmp_path)
    assert (tmp_path / "good").exists()
    assert not folder.is_symlink()
    assert not (tmp_path / "evil").exists()


def test_a_store_that_takes_no_byte_code_serves_as_well(environment: Environment, tmp_path: Path) -> None:
    (environment.path.parent / BYTECODE).write_text("")
    run_worker(environment, tmp_path)
    assert (tmp_path / "good").exists()


def test_byte_code_goes_with_its_environment(environment: Environment, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run_worker(environment, tmp_path)
    assert store.verify(environment) == ()
    folder = environment.path.parent / BYTECODE / environment.key
    shutil.copytree(folder, folder.with_name("0000"))
    assert folder.with_name("0000") in store.leftovers()
    store.prune([environment], store.leftovers())
    assert list(folder.parent.iterdir()) == []
