"""What uv gets to see of the caller's variables, and what its words mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import (
    BuildError,
    DiskFullError,
    EnvironmentSetupError,
    EnvpinError,
    NetworkError,
    NoInterpreterError,
    ResolutionError,
)
from envpin.envs.uv.command import uv_environment
from envpin.envs.uv.errors import error_of

if TYPE_CHECKING:
    from pathlib import Path

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
    seen = uv_environment({"UV_FIND_LINKS": "wheels https://x/list"}, find_links=["/more"])
    assert seen["UV_FIND_LINKS"] == f"{tmp_path}/wheels https://x/list /more"


def test_pip_s_index_is_used_where_uv_has_none() -> None:
    assert uv_environment({"PIP_INDEX_URL": "https://a/simple"})["UV_DEFAULT_INDEX"] == "https://a/simple"
    both = {"PIP_INDEX_URL": "https://a/simple", "UV_INDEX_URL": "https://b/simple"}
    assert "UV_DEFAULT_INDEX" not in uv_environment(both)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("error: No solution found when resolving dependencies\n  cause: Because …", ResolutionError),
        ("  × No solution found when resolving dependencies:\n  ╰─▶ Because …", ResolutionError),
        ("error: Failed to fetch: `https://x/`\n  Caused by: dns error", NetworkError),
        ("× No solution found\n\nhint: Packages were unavailable because the network was disabled.", NetworkError),
        ("error: No interpreter found for Python 3.7 in managed installations", NoInterpreterError),
        ("error: Failed to download `x==1`\n  cause: Hash mismatch for `x==1`", BuildError),
        ("error: Failed to extract archive: x.whl\n  cause: No space left on device (os error 28)", DiskFullError),
        ("error: Package `x` can't be installed because it is marked as `--no-build`", BuildError),
        ("error: something nobody has seen before", EnvironmentSetupError),
        ("", EnvironmentSetupError),
    ],
)
def test_words_become_errors(said: str, expected: type[EnvpinError]) -> None:
    error = error_of(said, what="resolving `x`")
    assert type(error) is expected
    assert error.message.startswith("resolving `x` failed: ")


def test_the_gist_is_short_and_without_uv_s_own_hints() -> None:
    said = (
        "Using Python 3.11\nerror: No solution found when resolving dependencies\n"
        + "  because\n" * 40
        + "hint: try pip"
    )
    message = error_of(said, what="resolving").message
    assert len(message.splitlines()) == 12
    assert "hint" not in message
    assert "Using Python" not in message
    assert message.endswith("more lines")
