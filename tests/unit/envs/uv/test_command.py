"""What uv gets to see of the caller's variables, and what its words mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.envs.uv.command import uv_environment

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
WHERE = {
    "UV_DEFAULT_INDEX": "https://mirror/simple",
    "UV_INDEX_MIRROR_PASSWORD": "secret",
    "UV_CACHE_DIR": "/cache",
    "UV_HTTP_TIMEOUT": "9",
    "UV_CONCURRENT_DOWNLOADS": "2",
    "HTTPS_PROXY": "http://proxy",
    "SSL_CERT_FILE": "/certs.pem",
    "HOME": "/home/someone",
}
WHAT = {
    "UV_CONSTRAINT": "c.txt",
    "UV_OVERRIDE": "o.txt",
    "UV_EXCLUDE_NEWER": "2020-01-01",
    "UV_RESOLUTION": "lowest",
    "UV_PRERELEASE": "allow",
    "UV_SYSTEM_PYTHON": "1",
    "UV_PYTHON": "3.9",
    "UV_NO_BINARY": "1",
    "UV_REQUIRE_HASHES": "0",
    "UV_COMPILE_BYTECODE": "1",
    "VIRTUAL_ENV": "/venv",
    "PYTHONPATH": "/mine",
}


def test_where_is_kept_and_what_is_dropped() -> None:
    seen = uv_environment({**WHERE, **WHAT})
    assert WHERE.items() <= seen.items()
    assert not WHAT.keys() & seen.keys()


def test_a_portable_lock_ignores_this_machine() -> None:
    local = {"UV_FIND_LINKS": "/wheels", "UV_TORCH_BACKEND": "cu121"}
    assert local.items() <= uv_environment(local).items()
    assert not local.keys() & uv_environment(local, portable=True, find_links=["/more"]).keys()


def test_find_links_are_added_and_relative_paths_survive_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wheels").mkdir()
    monkeypatch.chdir(tmp_path)
    seen = uv_environment({"UV_FIND_LINKS": "wheels,https://x/list"}, find_links=["/more"])
    assert seen["UV_FIND_LINKS"] == f"{tmp_path}/wheels,https://x/list,/more"


def test_pip_s_index_is_used_where_uv_has_none(tmp_path: Path) -> None:
    assert uv_environment({"PIP_INDEX_URL": "https://a/simple"})["UV_DEFAULT_INDEX"] == "https://a/simple"
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_CONFIG_DIRS": "/nowhere"}
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text("[global]\nindex-url = https://c/simple\n", encoding="utf-8")
    assert uv_environment(home)["UV_DEFAULT_INDEX"] == "https://c/simple"
    (tmp_path / "uv").mkdir()
    for text in ('index-url = "https://d/simple"', '[pip]\nindex-url = "https://d/simple"'):
        (tmp_path / "uv" / "uv.toml").write_text(text, encoding="utf-8")
        assert "UV_DEFAULT_INDEX" not in uv_environment(home), text
    both = {"PIP_INDEX_URL": "https://a/simple", "UV_INDEX_URL": "https://b/simple"}
    assert "UV_DEFAULT_INDEX" not in uv_environment(both)
