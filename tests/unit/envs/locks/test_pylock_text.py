"""The text of a lock: what is written, and what it is made from."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from envpin.envs.locks.pylock_text import normalized, write_pylock

HASH = "a" * 64


def document(**changes: Any) -> dict[str, Any]:
    wheel = {"url": "https://files.pythonhosted.org/packages/aa/six-1.0-py3-none-any.whl", "hashes": {"sha256": HASH}}
    package: dict[str, Any] = {"name": "six", "version": "1.0", "wheels": [wheel]}
    package.update(changes)
    return {"lock-version": "1.0", "created-by": "uv", "requires-python": ">=3.11", "packages": [package]}


def test_normalizing_drops_sdists_and_names_pypi() -> None:
    whole = document(sdist={"url": "https://x/six-1.0.tar.gz", "hashes": {"sha256": HASH}})
    package = normalized(whole)["packages"][0]
    assert "sdist" not in package
    assert package["index"] == "https://pypi.org/simple"
    elsewhere = document(wheels=[{"url": "https://mirror/six-1.0-py3-none-any.whl", "hashes": {"sha256": HASH}}])
    assert "index" not in normalized(elsewhere)["packages"][0]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers(0, 2**40))
def test_what_is_written_is_read_back(marker: str, size: int) -> None:
    whole = document(marker=marker)
    whole["packages"][0]["wheels"][0]["size"] = size
    read = tomllib.loads(write_pylock(whole, tool={"schema": 1, "name": marker}))
    assert read["packages"][0] == whole["packages"][0]
    assert read["tool"]["envpin"]["name"] == marker
