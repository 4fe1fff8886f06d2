"""What is in a store and how it goes: sizes, uses, removing, pruning, killed prunes, stores of others and of groups."""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import RefusedError
from envpin.envs.locks.lock import parse_lock
from envpin.envs.machine import default_python
from envpin.envs.refs.pins import Resolver
from envpin.envs.store.housekeeping import users_of
from envpin.envs.store.identity import EnvironmentSpec
from envpin.envs.store.store import Store
from tests.support.command import arguments, envpin, variables
from tests.support.wheels import lock_of, make_wheel

if TYPE_CHECKING:
    from envpin.envs.store.environment import Environment

SLEEPER = "import time; print(flush=True); time.sleep(60)"


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("ENVPIN_HOME", str(tmp_path / "store"))
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.delenv("ENVPIN_SHARED", raising=False)


def spec_of(folder: Path, name: str) -> EnvironmentSpec:
    wheel = make_wheel(folder / "wheels", name, "1.0", files={f"{name}/__init__.py": "x = 1\n" * 5000})
    return EnvironmentSpec(name=name, lock=parse_lock(lock_of(wheel)), python=default_python())


def used(environment: Environment, *, days_ago: float) -> None:
    moment = time.time() - days_ago * 86400
    os.utime(environment.path / ".envpin-used", (moment, moment))


def run(*words: object) -> tuple[int, str, str]:
    completed = envpin("env", *words, env={"ENVPIN_HOME": os.environ["ENVPIN_HOME"]})
    return completed.status, completed.stdout, completed.stderr


def test_a_list_shows_size_last_use_and_what_needs_it(tmp_path: Path) -> None:
    store = Store()
    environment = store.ensure(spec_of(tmp_path, "alpha"))
    adapter = tmp_path / "an-adapter"
    adapter.mkdir()
    store.use(environment, needed_by=adapter)
    store.use(environment, needed_by=tmp_path / "gone")
    status, out, err = run("list")
    assert status == 0, err
    assert "an-adapter" in out
    assert "kB" in out
    document = json.loads(run("list", "--json")[1])["environments"][0]
    assert document["needed_by"] == [str(adapter)]
    assert 30_000 < document["bytes"] < 10_000_000
    assert store.verify(environment) == (), "what the store notes is no damage"


def test_remove_takes_away_by_key_and_not_what_runs(tmp_path: Path) -> None:
    store = Store()
    one, two = store.ensure(spec_of(tmp_path, "alpha")), store.ensure(spec_of(tmp_path, "beta"))
    child = subprocess.Popen([one.python, "-c", SLEEPER], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline(), "until it runs, /proc shows no command"
        if sys.platform == "linux":
            assert users_of(one.path) == (child.pid,)
            status, _, err = run("remove", one.key[:8])
            assert status == 5
            assert str(child.pid) in err
    finally:
        child.kill()
        child.communicate()
    status, out, err = run("remove", one.key[:8], two.key)
    assert status == 0, err
    assert out.count("removed") == 2
    assert store.list() == ()


@pytest.mark.skipif(sys.platform != "linux", reason="nothing else tells which processes there are")
def test_prune_and_remove_spare_what_a_command_runs_in(tmp_path: Path) -> None:
    store = Store()
    busy, idle = store.ensure(spec_of(tmp_path, "alpha")), store.ensure(spec_of(tmp_path, "beta"))
    child = subprocess.Popen(["python", "-c", SLEEPER], env=busy.activated(), stdout=subprocess.PIPE)  # as `envpin run`
    try:
        assert child.stdout is not None
        assert child.stdout.readline()
        assert users_of(busy.path) == (child.pid,)
        assert users_of(idle.path) == ()
        assert run("remove", busy.key[:8])[0] == 5
        document = json.loads(run("prune", "--all", "--dry-run", "--json")[1])
        assert [one["name"] for one in document["environments"]] == ["beta"]
        assert document["in_use"] == {busy.key: [child.pid]}
        status, out, err = run("prune", "--all")
        assert (status, out.count("removed")) == (0, 1)
        assert f"kept {busy.key[:12]}: in use by process {child.pid}\n" in err
    finally:
        child.kill()
        child.communicate()
    assert [one.key for one in store.list()] == [busy.key]


def test_whoever_asks_is_no_user(tmp_path: Path) -> None:
    store = Store()
    one = store.ensure(spec_of(tmp_path, "alpha"))
    asked = f"from envpin.envs.store.housekeeping import users_of; print(users_of({str(one.path)!r}))"
    completed = subprocess.run([sys.executable, "-c", asked], env=one.activated(), capture_output=True, check=True)
    assert completed.stdout == b"()\n"


def test_prune_goes_by_age_and_then_by_size(tmp_path: Path) -> None:
    store = Store()
    made = {name: store.ensure(spec_of(tmp_path, name)) for name in ("alpha", "beta", "gamma")}
    for name, days in (("alpha", 100.0), ("beta", 50.0), ("gamma", 1.0)):
        used(store.use(made[name]), days_ago=days)

    def pruned(*words: str) -> list[str]:
        return [one["name"] for one in json.loads(run("prune", "--dry-run", "--json", *words)[1])["environments"]]

    assert pruned("--older-than", "90d") == ["alpha"]
    assert pruned("--unused-for", "90") == ["alpha"]
    assert pruned() == ["beta", "alpha"]
    assert pruned("--max-size", "1TB") == []
    size = made["gamma"].size
    assert pruned("--max-size", f"{size * 2 + 2000}") == ["alpha"]
    assert pruned("--older-than", "90d", "--max-size", f"{size + 2000}") == ["alpha", "beta"]
    assert run("prune", "--older-than", "often")[0] == 2
    assert run("prune", "--older-than", "10w")[0] == 0
    assert sorted(one.receipt.name for one in store.list()) == ["beta", "gamma"]


def test_environments_of_a_newer_envpin_are_left_alone(tmp_path: Path) -> None:
    store = Store()
    environment = store.ensure(spec_of(tmp_path, "alpha"))
    receipt = environment.path / "envpin-receipt.json"
    receipt.write_text(json.dumps({**json.loads(receipt.read_text()), "schema": 99}))
    assert store.list() == ()
    assert run("prune", "--all")[0] == 0
    assert receipt.exists()
    receipt.write_text("{")
    assert run("prune", "--all")[0] == 0
    assert not receipt.exists(), "one that nobody can read is a leftover"


def test_a_store_of_others_is_used_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Store(tmp_path / "theirs")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    spec_of(tmp_path, "alpha")
    spec = Resolver(root=theirs.root).pins(["alpha"])
    ready = theirs.ensure(spec, keep_wheels=True)
    before = {path: path.stat().st_mtime_ns for path in theirs.root.rglob("*") if path.is_file()}
    store = Store(tmp_path / "mine", shared=[theirs.root])
    monkeypatch.setenv("ENVPIN_SHARED", str(theirs.root))
    resolved = Resolver(root=store.root, offline=True).pins(["alpha"])
    assert store.ensure(resolved, offline=True).path == ready.path
    assert [one.key for one in store.list()] == [ready.key]
    with pytest.raises(RefusedError, match="only read"):
        store.remove(ready)
    assert store.leftovers() == ()
    # Built again from the wheels that they keep, into the own store.
    shutil.rmtree(tmp_path / "uv-cache")
    shutil.rmtree(tmp_path / "wheels")
    monkeypatch.delenv("UV_FIND_LINKS")
    own = store.ensure(EnvironmentSpec(name="a", lock=spec.lock, python=platform.python_version()), offline=True)
    assert own.path.is_relative_to(store.root)
    assert {path: path.stat().st_mtime_ns for path in theirs.root.rglob("*") if path.is_file()} == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no groups of files")
def test_what_is_made_in_a_store_of_a_group_is_the_groups(tmp_path: Path) -> None:
    root = tmp_path / "group"
    root.mkdir()
    root.chmod(0o2775)
    before = os.umask(0o077)
    try:
        environment = Store(root).ensure(spec_of(tmp_path, "alpha"))
    finally:
        os.umask(before)
    for folder, _, files in os.walk(environment.path):
        assert stat.S_IMODE(Path(folder).stat().st_mode) & 0o070 == 0o070, folder
        assert all(Path(folder, name).lstat().st_mode & 0o040 for name in files)
    lock = next((root / "environments" / ".locks").iterdir())
    assert stat.S_IMODE(lock.stat().st_mode) & 0o060


def test_a_killed_removal_leaves_nothing_that_counts(tmp_path: Path) -> None:
    """`kill -9` at moments spread over `env prune` and `env remove`: what is listed afterwards is whole."""
    store = Store()
    random.seed(3)
    for attempt in range(6):
        made = [store.ensure(spec_of(tmp_path, name)) for name in ("alpha", "beta", "gamma")]
        words = ("prune", "--all") if attempt % 2 else ("remove", *(one.key for one in made))
        child = subprocess.Popen(
            arguments("env", *words),
            env=variables({"ENVPIN_HOME": str(store.root)}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(random.uniform(0.1, 0.9))
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for one in store.list():
            assert store.verify(one) == ()
    assert run("prune", "--all")[0] == 0
    assert store.list() == ()
    assert store.leftovers() == ()
