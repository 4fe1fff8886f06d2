"""What building costs is said first; wheels that the store keeps install again when the index is gone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import BuildError, NetworkError, RefusedError
from envpin.core.events import Event, Note, Progress
from envpin.envs.refs.pins import Resolver
from envpin.envs.store.store import Store
from envpin.envs.store.wheels import WheelShelf
from tests.support.simple_index import SimpleIndex
from tests.support.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE = 2_000_000


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleIndex]:
    """`heavy`, of 2 MB, which needs `light`."""
    index = SimpleIndex()
    import random

    filling = "".join(random.Random(7).choices("abcdefgh", k=LARGE))
    heavy = make_wheel(
        tmp_path / "w", "heavy", "1.0", files={"heavy/__init__.py": "", "heavy/data.txt": filling}, requires=["light"]
    )
    for wheel in (heavy, make_wheel(tmp_path / "w", "light", "1.0")):
        index.add(wheel.name, wheel.read_bytes())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    with index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        yield index


def sent_wheels(index: SimpleIndex) -> list[str]:
    return [path for path, span in index.requests if path.endswith(".whl") and span is None]


def test_the_size_is_said_before_anything_is_downloaded(tmp_path: Path, index: SimpleIndex) -> None:
    store, events = Store(tmp_path / "store"), list[Event]()
    spec = Resolver(root=store.root).pins(["heavy"])
    index.requests.clear()

    def listener(event: Event) -> None:
        if isinstance(event, Note):
            assert not sent_wheels(index)
        events.append(event)

    store.ensure(spec, listener=listener)
    (note,) = [event.message for event in events if isinstance(event, Note)]
    assert note.startswith("2.0 MB to download (all 2 packages from 127.0.0.1), about 8.0 MB on disk")


def test_more_than_max_download_is_refused_before_it_begins(tmp_path: Path, index: SimpleIndex) -> None:
    store = Store(tmp_path / "store")
    spec = Resolver(root=store.root).pins(["heavy"])
    index.requests.clear()
    with pytest.raises(RefusedError, match=r"2\.0 MB would be downloaded, and at most 1\.0 MB may be"):
        store.ensure(spec, max_download=1_000_000)
    assert store.list() == ()
    assert not sent_wheels(index)
    assert store.ensure(spec, max_download=3_000_000)


def test_kept_wheels_rebuild_an_environment_without_index_or_cache(tmp_path: Path, index: SimpleIndex) -> None:
    store, events = Store(tmp_path / "store"), list[Event]()
    spec = Resolver(root=store.root).pins(["heavy"])
    first = store.ensure(spec, keep_wheels=True, listener=events.append)
    assert len(sent_wheels(index)) == 2, "each wheel is downloaded once"
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert last.done == last.total
    installed = first.receipt.artifacts
    store.remove(first)
    shutil.rmtree(tmp_path / "uv-cache")
    index.stop()
    try:
        again = store.ensure(Resolver(root=store.root, offline=True).pins(["heavy"]), offline=True)
        assert again.receipt.artifacts == installed
        assert store.verify(again) == ()
    finally:
        index.resume()


def test_a_wheel_that_was_changed_where_it_is_kept_is_not_installed(tmp_path: Path, index: SimpleIndex) -> None:
    store = Store(tmp_path / "store")
    spec = Resolver(root=store.root).pins(["heavy"])
    store.remove(store.ensure(spec, keep_wheels=True))
    shutil.rmtree(tmp_path / "uv-cache")
    for wheel in WheelShelf(store.root).folder.rglob("*.whl"):
        wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    index.stop()
    try:
        with pytest.raises((BuildError, NetworkError)):
            store.ensure(spec, offline=True)
        assert store.list() == ()
    finally:
        index.resume()


def test_a_wheel_that_the_index_changed_is_not_kept(tmp_path: Path, index: SimpleIndex) -> None:
    store = Store(tmp_path / "store")
    spec = Resolver(root=store.root).pins(["heavy"])
    for name in index.files:
        index.files[name] += b"x"
    with pytest.raises(BuildError, match="is not the wheel that was locked"):
        store.ensure(spec, keep_wheels=True)
    assert not list(WheelShelf(store.root).folder.rglob("*.whl"))
