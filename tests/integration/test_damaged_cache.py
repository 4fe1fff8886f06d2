"""Environments from wheels that tell little of their files, and from a cache of uv that was cleaned or edited."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from envpin.core.errors import CacheDamagedError, NetworkError
from envpin.envs.locks.lock import parse_lock
from envpin.envs.machine import default_python
from envpin.envs.store.environment import site_packages
from envpin.envs.store.identity import EnvironmentSpec
from envpin.envs.store.receipt import encode_receipt
from envpin.envs.store.store import Store
from tests.support.simple_index import SimpleIndex
from tests.support.wheels import lock_of, make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from envpin.envs.store.environment import Environment

FILES = {"alpha/__init__.py": "version = 1\n", "alpha/b.py": "x = 1\n"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    return tmp_path / "uv-cache"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def spec_of(*wheels: Path) -> EnvironmentSpec:
    return EnvironmentSpec(name="test", lock=parse_lock(lock_of(*wheels)), python=default_python())


def replaced(environment: Environment, name: str) -> None:
    """Another file in its place, which uv's cache does not share."""
    path = site_packages(environment.path) / name
    path.unlink()
    path.write_text("x = 9\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "without"),
    [
        (r"(alpha/b\.py),.*", r"\1,,"),
        (r"alpha/b\.py.*\n", ""),  # uv adds what a RECORD does not list
        (r"(alpha/b\.py),sha256=(.*)", r"\1,blake3=\2"),
        (r"(alpha/b\.py),sha256=(.*)", r"\1,shake_128=\2"),
    ],
)
def test_a_file_whose_wheel_gives_no_digest_is_vouched_for_by_the_receipt(
    store: Store, cache: Path, tmp_path: Path, line: str, without: str
) -> None:
    wheel = make_wheel(tmp_path, "alpha", "1.0", files=FILES, edit_record=lambda text: re.sub(line, without, text))
    environment = store.ensure(spec_of(wheel))
    assert store.verify(environment) == ()
    replaced(environment, "alpha/b.py")
    assert [(Path(one.path).name, one.kind) for one in store.verify(environment)] == [("b.py", "changed")]


def test_what_an_older_receipt_says_nothing_of_is_not_called_as_installed(
    store: Store, cache: Path, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, "alpha", "1.0", files=FILES, edit_record=lambda text: text.replace("sha256=", "x="))
    spec = spec_of(wheel)
    environment = store.ensure(spec)
    silent = {name: said for name, said in environment.receipt.unrecorded.items() if "alpha/" not in name}
    older = msgspec.structs.replace(environment.receipt, unrecorded=silent)
    (environment.path / "envpin-receipt.json").write_bytes(encode_receipt(older))
    old = store.get(environment.key)
    assert {one.kind for one in store.verify(old)} == {"unknown"}
    assert store.verify(store.ensure(spec, rebuild=True)) == ()


def test_a_file_that_two_wheels_bring_is_as_one_of_them_has_it(store: Store, cache: Path, tmp_path: Path) -> None:
    one = make_wheel(tmp_path, "one", "1.0", files={"shared.py": "x = 1\n"})
    two = make_wheel(tmp_path, "two", "1.0", files={"shared.py": "x = 2\n"})
    environment = store.ensure(spec_of(one, two))
    assert store.verify(environment) == ()
    replaced(environment, "shared.py")
    assert [found.kind for found in store.verify(environment)] == ["changed"]


def test_a_file_in_the_environment_is_no_link_into_the_cache(
    store: Store, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(make_wheel(tmp_path, "alpha", "1.0", files=FILES))
    monkeypatch.setenv("UV_LINK_MODE", "symlink")
    environment = store.ensure(spec)
    victim = site_packages(environment.path) / "alpha" / "b.py"
    assert not victim.is_symlink()
    shutil.move(victim, tmp_path / "elsewhere.py")
    victim.symlink_to(tmp_path / "elsewhere.py")
    assert [one.kind for one in store.verify(environment)] == ["changed"], "as an older envpin built it"


def _cleaned(cache: Path) -> None:
    shutil.rmtree(cache / "archive-v0")


def _without(pattern: str) -> Callable[[Path], None]:
    def remove(cache: Path) -> None:
        next(cache.glob(f"archive-v0/*/{pattern}")).unlink()

    return remove


def _overwritten(cache: Path) -> None:
    for path in [*cache.glob("wheels-*/**/*.rev"), *cache.glob("wheels-*/**/*.http")]:
        path.write_bytes(b"\x07\x01other")


def _linked(cache: Path) -> None:
    path = next(cache.glob("archive-v0/*/alpha/b.py"))
    shutil.copy(path, cache / "elsewhere.py")
    path.unlink()
    path.symlink_to(cache / "elsewhere.py")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "emptied": _cleaned,
    "one-file": _without("alpha/b.py"),
    "record": _without("alpha-*/RECORD"),
    "metadata": _without("alpha-*/METADATA"),
    "pointers": _overwritten,
    "link": _linked,
}


@pytest.mark.parametrize(
    ("damage", "offline"), [*((one, False) for one in DAMAGES), ("emptied", True), ("one-file", True)]
)
def test_a_damaged_cache_gives_a_whole_environment(cache: Path, tmp_path: Path, damage: str, offline: bool) -> None:
    spec = spec_of(make_wheel(tmp_path, "alpha", "1.0", files=FILES), make_wheel(tmp_path, "beta", "1.0"))
    Store(tmp_path / "first").ensure(spec)
    DAMAGES[damage](cache)
    store = Store(tmp_path / "second")
    environment = store.ensure(spec, offline=offline)
    assert store.verify(environment) == ()
    assert (site_packages(environment.path) / "alpha" / "b.py").read_text(encoding="utf-8") == FILES["alpha/b.py"]
    assert store.leftovers() == ()


@pytest.mark.parametrize("damage", ["emptied", "one-file", "record"])
def test_a_damaged_cache_of_an_index_is_fetched_again_and_said_where_it_may_not(
    cache: Path, tmp_path: Path, damage: str
) -> None:
    wheel = make_wheel(tmp_path, "alpha", "1.0", files=FILES)
    with SimpleIndex() as index:
        index.add(wheel.name, wheel.read_bytes())
        text = lock_of(wheel).replace(wheel.as_uri(), f"{index.url.removesuffix('/simple')}/files/{wheel.name}")
        spec = EnvironmentSpec(name="test", lock=parse_lock(text), python=default_python())
        Store(tmp_path / "first").ensure(spec)
        DAMAGES[damage](cache)
        store = Store(tmp_path / "second")
        with pytest.raises((CacheDamagedError, NetworkError), match=r"cache holds files of alpha|alpha==1\.0") as said:
            store.ensure(spec, offline=True)
        assert "--offline" in str(said.value.hint)
        assert store.list() == ()
        assert store.leftovers() == ()
        store = Store(tmp_path / "third")
        assert store.verify(store.ensure(spec)) == ()
    healed = Store(tmp_path / "fourth")
    assert healed.verify(healed.ensure(spec, offline=True)) == (), "the cache was not healed"


def test_an_edit_of_a_cached_file_without_a_digest_does_not_reach_the_next_environment(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_LINK_MODE", "hardlink")
    wheel = make_wheel(tmp_path, "alpha", "1.0", files=FILES, edit_record=lambda text: re.sub(r"alpha/b.*\n", "", text))
    spec = spec_of(wheel)
    Store(tmp_path / "first").ensure(spec)
    victim = next(cache.glob("archive-v0/*/alpha/b.py"))
    moment = victim.stat().st_mtime + 60
    victim.write_text("x = 9\n", encoding="utf-8")
    os.utime(victim, (moment, moment))
    environment = Store(tmp_path / "second").ensure(spec)
    assert (site_packages(environment.path) / "alpha" / "b.py").read_text(encoding="utf-8") == FILES["alpha/b.py"]
