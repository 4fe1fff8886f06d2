"""Locks: what is read, what is refused, what counts for identity, and the text that is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from envpin.core.errors import InputError
from envpin.envs.locks.lock import digest, lock_file_name, parse_lock, read_lock
from envpin.envs.locks.pylock_text import write_pylock

if TYPE_CHECKING:
    from pathlib import Path
HASH = "a" * 64


def document(**changes: Any) -> dict[str, Any]:
    wheel = {"url": "https://files.pythonhosted.org/packages/aa/six-1.0-py3-none-any.whl", "hashes": {"sha256": HASH}}
    package: dict[str, Any] = {"name": "six", "version": "1.0", "wheels": [wheel]}
    package.update(changes)
    return {"lock-version": "1.0", "created-by": "uv", "requires-python": ">=3.11", "packages": [package]}


def text(**changes: Any) -> str:
    return write_pylock(document(**changes))


def test_a_good_lock_is_read() -> None:
    lock = parse_lock(text())
    assert lock.versions_of("six") == ("1.0",)
    assert lock.versions_of("seven") == ()


def test_comments_and_tool_tables_do_not_count() -> None:
    lock = parse_lock(text())
    other = parse_lock("# another header\n" + text() + '\n[tool.envpin]\nname = "x"\n')
    assert lock == other
    assert lock.digest == digest(other.text)


def test_everything_else_counts() -> None:
    assert parse_lock(text()) != parse_lock(text(marker="python_version > '3'"))
    assert parse_lock(text()) != parse_lock(text(index="https://pypi.org/simple"))


@pytest.mark.parametrize(
    ("wheel", "expected"),
    [
        ({"url": "https://x/six-1.0-py3-none-any.whl", "hashes": {}}, "hashes"),
        ({"url": "https://x/six-1.0-py3-none-any.whl", "hashes": {"md5": "a"}}, "hashes: has no sha256"),
        ({"url": "https://x/six-1.0.tar.gz", "hashes": {"sha256": HASH}}, "six-1.0.tar.gz"),
    ],
)
def test_wheels_that_nobody_vouches_for_are_refused(wheel: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match="lock") as caught:
        parse_lock(text(wheels=[wheel]))
    assert expected in caught.value.message


def test_a_package_without_wheels_is_refused() -> None:
    package = {
        "name": "six",
        "version": "1.0",
        "sdist": {"url": "https://x/six-1.0.tar.gz", "hashes": {"sha256": HASH}},
    }
    with pytest.raises(InputError) as caught:
        parse_lock(tomlkit.dumps({**document(), "packages": [package]}))
    assert caught.value.problems == ("packages[0] (six).wheels: there is none, and nothing is built from source",)


def test_every_problem_is_named_at_once() -> None:
    broken = document()
    broken["packages"] = [
        {
            "name": "one",
            "version": "1",
            "wheels": [{"url": "https://x/one-1-py3-none-any.whl", "hashes": {"md5": "1"}}],
        },
        {"name": "two", "wheels": [{"url": "https://x/two-1-py3-none-any.whl", "hashes": {"md5": "00"}}]},
    ]
    with pytest.raises(InputError) as caught:
        parse_lock(write_pylock(broken))
    places = [problem.partition(":")[0] for problem in caught.value.problems]
    assert places == [
        "packages[0] (one).wheels[0].hashes",
        "packages[1] (two).version",
        "packages[1] (two).wheels[0].hashes",
    ]


@pytest.mark.parametrize(
    "kind",
    [
        'vcs = { type = "git", url = "https://x/y.git", commit-id = "abc" }',
        'directory = { path = "../mine" }',
        f'archive = {{ url = "https://x/y.zip", hashes = {{ sha256 = "{HASH}" }} }}',
    ],
)
def test_what_would_have_to_be_built_is_refused(kind: str) -> None:
    bad = f'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "six"\nversion = "1.0"\n{kind}\n'
    with pytest.raises(InputError, match="only wheels are installed"):
        parse_lock(bad)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("lock-version = ", "not valid TOML"),
        ('lock-version = "9.0"\ncreated-by = "x"\npackages = []\n', "lock version '9.0'"),
        ('name = "x"\n', "is not a lock"),
        ('lock-version = "1.0"\ncreated-by = "x"\npackages = []\n', "packages: there is none"),
    ],
)
def test_what_is_no_lock_says_why(content: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "pylock.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=expected):
        read_lock(path)


def test_a_truncated_lock_is_refused(tmp_path: Path) -> None:
    whole = text()
    path = tmp_path / "pylock.toml"
    path.write_text(whole[: len(whole) // 2], encoding="utf-8")
    with pytest.raises(InputError):
        read_lock(path)


def test_names_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the name of a lock") as caught:
        read_lock(tmp_path / "pylock.llama3.1.toml")
    assert caught.value.hint == "call it `pylock.llama3-1.toml`"
    with pytest.raises(InputError, match="does not exist"):
        read_lock(tmp_path / "pylock.toml")
    (tmp_path / "pylock.x.toml").write_bytes(b"\xe9")
    with pytest.raises(InputError, match="is not text: byte 0 is not utf-8"):
        read_lock(tmp_path / "pylock.x.toml")


@given(st.text())
def test_every_name_gives_a_file_name_that_is_allowed(name: str) -> None:
    stem = lock_file_name(name)
    assert stem == "pylock.toml" or stem.count(".") == 2
    assert "/" not in stem
    assert "\\" not in stem


_TOOL_FIRST = """lock-version = "1.0"
created-by = "test"
[tool.envpin]
note = "{note}"
[[packages]]
name = "alpha"
version = "{version}"
[[packages.wheels]]
url = "https://x.example/alpha-{version}-py3-none-any.whl"
hashes = {{sha256 = "{sha}"}}
[packages.tool.other]
note = "{note}"
"""


def test_digest_sees_packages_that_stand_behind_a_tool_table() -> None:
    good = _TOOL_FIRST.format(note="a", version="1.0", sha="0" * 64)
    evil = _TOOL_FIRST.format(note="a", version="6.6", sha="6" * 64)
    assert digest(good) != digest(evil)
    assert digest(good) == digest(_TOOL_FIRST.format(note="b", version="1.0", sha="0" * 64))
    assert digest(good) == digest("# a comment\n" + good.replace("\n", "\r\n"))
