"""The day that pins come from, asked of an index: a week after the newest of them appeared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.envs.locks.era import era_limit
from tests.support.simple_index import SimpleIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleIndex]:
    monkeypatch.setenv("ENVPIN_HOME", str(tmp_path / "home"))
    with SimpleIndex() as server:
        monkeypatch.setenv("UV_DEFAULT_INDEX", server.url)
        server.add("one-1.0-py3-none-any.whl", uploaded="2024-07-24T10:00:00Z")
        server.add("one-2.0-py3-none-any.whl", uploaded="2025-01-01T00:00:00Z")
        server.add("other-1.0-py3-none-any.whl", uploaded="2024-06-01T00:00:00Z")
        server.add("dateless-1.0-py3-none-any.whl")
        yield server


@pytest.mark.parametrize(
    ("requirements", "limit"),
    [
        (["one==1.0"], "2024-07-31T10:00:00Z"),
        (["one==1.0", "other==1.0"], "2024-07-31T10:00:00Z"),
        (["one==1.0+cu121"], "2024-07-31T10:00:00Z"),
        (["one>=1.0"], None),
        (["dateless==1.0"], None),
        (["one==3.0"], None),
        (["nobody-has-it==1.0", "other==1.0"], "2024-06-08T00:00:00Z"),
    ],
)
def test_era_limit_is_a_week_after_the_newest_pin(
    index: SimpleIndex, requirements: list[str], limit: str | None
) -> None:
    assert era_limit(requirements) == limit
