"""What of a user's uv.toml reaches uv: places, never what is installed or where to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError
from envpin.envs.uv.command import uv_environment
from envpin.envs.uv.settings import wants_offline, where_config

if TYPE_CHECKING:
    from pathlib import Path

USER = """
index-url = "https://mirror.example/simple"
find-links = ["/wheels"]
resolution = "lowest"
exclude-newer = "2020-01-01"
no-binary = true
[[index]]
url = "https://first.example/simple"
[pip]
target = "/elsewhere"
prefix = "/elsewhere"
no-emit-package = ["torch"]
require-hashes = false
torch-backend = "cu121"
"""


def configured(folder: Path, text: str) -> dict[str, str]:
    path = folder / "uv" / "uv.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return {"XDG_CONFIG_HOME": str(folder), "XDG_CONFIG_DIRS": "/nowhere"}


def test_places_are_kept_and_nothing_that_says_what(tmp_path: Path) -> None:
    assert where_config(configured(tmp_path, USER)) == {
        "index-url": "https://mirror.example/simple",
        "find-links": ["/wheels"],
        "index": [{"url": "https://first.example/simple"}],
        "pip": {"torch-backend": "cu121"},
    }


def test_a_portable_lock_knows_nothing_of_this_machine(tmp_path: Path) -> None:
    found = where_config(configured(tmp_path, USER), portable=True)
    assert sorted(found) == ["index", "index-url"]


def test_the_user_is_asked_before_the_system(tmp_path: Path) -> None:
    user = configured(tmp_path / "user", 'index-url = "https://user/simple"\n[[index]]\nurl = "https://a/simple"\n')
    configured(tmp_path / "system", 'index-url = "https://sys/simple"\n[[index]]\nurl = "https://b/simple"\n')
    found = where_config({**user, "XDG_CONFIG_DIRS": str(tmp_path / "system")})
    assert found["index-url"] == "https://user/simple"
    assert [one["url"] for one in found["index"]] == ["https://a/simple", "https://b/simple"]


@pytest.mark.parametrize(("name", "value"), [("UV_NO_CONFIG", "1"), ("UV_NO_CONFIG", "true")])
def test_no_configuration_is_read_where_the_user_wants_none(tmp_path: Path, name: str, value: str) -> None:
    assert where_config({**configured(tmp_path, USER), name: value}) == {}


def test_a_named_file_is_the_only_one(tmp_path: Path) -> None:
    variables = configured(tmp_path, USER)
    named = tmp_path / "named.toml"
    named.write_text('offline = true\nconstraint-dependencies = ["torch<2"]\n', encoding="utf-8")
    assert where_config({**variables, "UV_CONFIG_FILE": str(named)}) == {"offline": True}


@pytest.mark.parametrize("text", ["this is not = [toml", "a" * (2 << 20), "\x00"])
def test_a_configuration_that_cannot_be_read_is_one_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="uv's configuration"):
        where_config(configured(tmp_path, text))


def test_files_are_never_linked_to_the_cache(tmp_path: Path) -> None:
    text = 'link-mode = "symlink"\n[pip]\nlink-mode = "symlink"\n'
    assert where_config(configured(tmp_path / "a", text)) == {}
    assert where_config(configured(tmp_path / "b", 'link-mode = "copy"\n')) == {"link-mode": "copy"}
    assert "UV_LINK_MODE" not in uv_environment({"UV_LINK_MODE": "symlink", "UV_NO_CONFIG": "1"})
    assert uv_environment({"UV_LINK_MODE": "copy", "UV_NO_CONFIG": "1"})["UV_LINK_MODE"] == "copy"


def test_uv_s_own_word_for_offline_counts(tmp_path: Path) -> None:
    told = configured(tmp_path, "offline = true\n")
    assert wants_offline(told)
    assert not wants_offline({**told, "UV_OFFLINE": "0"})
    assert wants_offline({"UV_OFFLINE": "1", "UV_NO_CONFIG": "1"})
    assert not wants_offline({"UV_NO_CONFIG": "1"})
