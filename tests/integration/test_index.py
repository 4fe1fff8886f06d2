"""The index client against a simulator over real sockets: caching, ranges, faults, offline, credentials."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError, NetworkError
from envpin.remote.index import Index, index_url
from tests.support.simple_index import SimpleIndex, wheel_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[SimpleIndex]:
    with SimpleIndex() as index:
        yield index


def client(server: SimpleIndex, cache: Path, *, fresh: float = 0.0, offline: bool = False, retries: int = 1) -> Index:
    return Index(server.url, cache=cache, fresh_seconds=fresh, offline=offline, retries=retries)


def test_releases_are_sorted_dated_and_know_what_was_yanked(server: SimpleIndex, tmp_path: Path) -> None:
    server.add("pkg-1.10.0-py3-none-any.whl", uploaded="2024-03-02T10:00:00.5Z", requires_python=">=3.9")
    server.add("pkg-1.10.0.tar.gz", uploaded="2024-03-02T09:00:00Z")
    server.add("pkg-1.9.0-py3-none-any.whl", uploaded="2023-01-01T00:00:00Z", yanked="it was broken")
    server.add("pkg-2.0.0rc1-py3-none-any.whl")
    found = client(server, tmp_path).releases("Pkg")
    assert [release.version for release in found] == ["1.9.0", "1.10.0", "2.0.0rc1"]
    old, new, candidate = found
    assert (old.yanked, old.yanked_reason) == (True, "it was broken")
    assert new.uploaded is not None
    assert new.uploaded.hour == 9
    assert new.requires_python == ">=3.9"
    assert not new.yanked
    assert new.wheel is not None
    assert new.wheel.filename == "pkg-1.10.0-py3-none-any.whl"
    assert candidate.is_prerelease
    assert candidate.uploaded is None


def test_a_release_with_one_good_file_is_not_yanked(server: SimpleIndex, tmp_path: Path) -> None:
    server.add("pkg-1.0-py3-none-any.whl", yanked=True)
    server.add("pkg-1.0.tar.gz")
    assert not client(server, tmp_path).releases("pkg")[0].yanked


def test_an_unchanged_page_is_not_sent_again(server: SimpleIndex, tmp_path: Path) -> None:
    server.add("pkg-1.0-py3-none-any.whl")
    index = client(server, tmp_path)
    first = index.releases("pkg")
    assert client(server, tmp_path).releases("pkg") == first
    assert server.statuses == {200: 1, 304: 1}
    server.add("pkg-1.1-py3-none-any.whl")
    assert len(index.releases("pkg")) == 2
    assert server.statuses[200] == 2


def test_a_fresh_page_is_not_asked_for(server: SimpleIndex, tmp_path: Path) -> None:
    server.add("pkg-1.0-py3-none-any.whl")
    index = client(server, tmp_path, fresh=60)
    assert index.releases("pkg") == index.releases("pkg")
    assert len(server.requests) == 1


def test_offline_answers_from_the_cache_and_only_from_there(server: SimpleIndex, tmp_path: Path) -> None:
    server.add("pkg-1.0-py3-none-any.whl", wheel_bytes({"pkg/a.py": b"A = 1"}))
    offline = client(server, tmp_path, offline=True)
    with pytest.raises(NetworkError, match="not cached") as caught:
        offline.releases("pkg")
    assert caught.value.exit_code == 4
    assert caught.value.hint is not None
    online = client(server, tmp_path)
    wheel = online.releases("pkg")[0].files[0]
    online.members(wheel, ["pkg/a.py", "pkg/absent.py"])
    asked = len(server.requests)
    assert offline.releases("pkg") == online.releases("pkg")
    assert offline.members(wheel, ["pkg/a.py", "pkg/absent.py"]) == {"pkg/a.py": b"A = 1"}
    with pytest.raises(NetworkError, match="not cached"):
        offline.members(wheel, ["pkg/other.py"])
    assert len(server.requests) == asked + 1


@pytest.mark.parametrize("ranges", [True, False])
def test_members_come_without_the_wheel(server: SimpleIndex, tmp_path: Path, ranges: bool) -> None:
    noise = random.Random(1).randbytes(3_000_000)
    wheel = wheel_bytes({"pkg/big.bin": noise, "pkg/a.py": b"A = 1\n" * 50, "pkg/empty.py": b"", "pkg/more.bin": noise})
    server.add("pkg-1.0-py3-none-any.whl", wheel)
    server.ranges = ranges
    index = client(server, tmp_path)
    file = index.releases("pkg")[0].files[0]
    assert index.members(file, ["pkg/a.py", "pkg/empty.py", "no"]) == {"pkg/a.py": b"A = 1\n" * 50, "pkg/empty.py": b""}
    assert index.member_names(file) == ["pkg/big.bin", "pkg/a.py", "pkg/empty.py", "pkg/more.bin"]
    if ranges:
        assert server.bytes_sent < 200_000
    before = len(server.requests)
    assert index.members(file, ["pkg/a.py", "no"]) == {"pkg/a.py": b"A = 1\n" * 50}
    assert len(server.requests) == before


def test_a_large_directory_is_read_whole(server: SimpleIndex, tmp_path: Path) -> None:
    names = [f"pkg/{'long' * 10}/{number}.py" for number in range(3000)]
    server.add("pkg-1.0-py3-none-any.whl", wheel_bytes({name: name.encode() for name in names}))
    index = client(server, tmp_path)
    file = index.releases("pkg")[0].files[0]
    assert index.members(file, names[:3]) == {name: name.encode() for name in names[:3]}


def test_a_hiccup_is_retried(server: SimpleIndex, tmp_path: Path) -> None:
    server.add("pkg-1.0-py3-none-any.whl")
    server.fail_times = 1
    assert len(client(server, tmp_path, retries=2).releases("pkg")) == 1


def test_a_lasting_fault_is_a_network_error(server: SimpleIndex, tmp_path: Path) -> None:
    server.status = 500
    with pytest.raises(NetworkError, match="500") as caught:
        client(server, tmp_path).releases("pkg")
    assert caught.value.hint is not None


def test_an_unknown_package_is_an_input_error(server: SimpleIndex, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`no-such` is not a package of"):
        client(server, tmp_path).releases("no_such")


@pytest.mark.parametrize("page", [b"<html>hello</html>", b"{}", b"[]", b"", b'{"files": {}}', b'{"files"'])
def test_an_answer_that_is_no_page_is_refused_and_not_cached(server: SimpleIndex, tmp_path: Path, page: bytes) -> None:
    server.raw_page = page
    with pytest.raises(InputError, match="JSON simple API"):
        client(server, tmp_path).releases("pkg")
    with pytest.raises(NetworkError):
        client(server, tmp_path, offline=True).releases("pkg")


def test_entries_that_make_no_sense_are_left_out(server: SimpleIndex, tmp_path: Path) -> None:
    server.add("pkg-1.0-py3-none-any.whl")
    page = server.pages["pkg"]
    good = page[0]
    page += [
        {**good, "filename": "../../evil-1.0-py3-none-any.whl"}, {**good, "filename": "other-3.0.tar.gz"},
        {**good, "filename": 7}, {"filename": "pkg-2.0.tar.gz"}, {**good, "filename": "pkg-x.y.tar.gz"},
        {**good, "filename": "..\\pkg-4.0.tar.gz"}, {**good, "filename": ".pkg-5.0.tar.gz"},
    ]  # fmt: skip
    page.append(
        {**good, "filename": "pkg-6.0.tar.gz", "upload-time": "once", "size": "big", "hashes": {"sha256": "../x"}}
    )
    server.raw_page = None
    found = client(server, tmp_path).releases("pkg")
    assert [release.version for release in found] == ["1.0", "6.0"]
    odd = found[1].files[0]
    assert (odd.uploaded, odd.size, odd.sha256) == (None, None, None)


def test_a_truncated_answer_is_a_network_error(server: SimpleIndex, tmp_path: Path) -> None:
    server.add("pkg-1.0-py3-none-any.whl")
    server.truncate = True
    with pytest.raises(NetworkError):
        client(server, tmp_path).releases("pkg")


@pytest.mark.parametrize("data", [b"", b"not a zip at all", b"PK\x05\x06" + b"\xff" * 30])
def test_a_file_that_is_no_wheel_is_an_input_error(server: SimpleIndex, tmp_path: Path, data: bytes) -> None:
    server.add("pkg-1.0-py3-none-any.whl", data)
    index = client(server, tmp_path)
    with pytest.raises(InputError, match=r"pkg-1\.0-py3-none-any\.whl"):
        index.members(index.releases("pkg")[0].files[0], ["a"])


def test_a_damaged_cache_is_asked_for_again(server: SimpleIndex, tmp_path: Path) -> None:
    server.add("pkg-1.0-py3-none-any.whl")
    index = client(server, tmp_path, fresh=60)
    index.releases("pkg")
    (kept,) = (tmp_path / "index" / "pages").iterdir()
    kept.write_text('{"fetched": 1e99, "page"')
    assert len(index.releases("pkg")) == 1


def test_an_index_nobody_listens_at_is_a_network_error(tmp_path: Path) -> None:
    index = Index("http://user:secret@127.0.0.1:9/simple", cache=tmp_path, retries=0)
    with pytest.raises(NetworkError, match="cannot be reached") as caught:
        index.releases("pkg")
    assert "secret" not in caught.value.message


def test_credentials_of_the_index_url_are_sent_and_never_shown(server: SimpleIndex, tmp_path: Path) -> None:
    server.add("pkg-1.0-py3-none-any.whl")
    server.credentials = "Basic dXNlcjpzZWNyZXQ="
    with pytest.raises(NetworkError, match="access is refused"):
        client(server, tmp_path).releases("pkg")
    url = server.url.replace("http://", "http://user:secret@")
    index = Index(url, cache=tmp_path, retries=0)
    assert len(index.releases("pkg")) == 1
    assert "secret" not in index.url


def test_the_users_own_index_is_found(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    pip = tmp_path / "pip.conf"
    pip.write_text("[global]\nindex-url = https://from.pip/simple/\n")
    assert index_url({**home, "PIP_CONFIG_FILE": str(pip)}) == "https://from.pip/simple"
    (tmp_path / "xdg" / "pip").mkdir(parents=True)
    (tmp_path / "xdg" / "pip" / "pip.conf").write_text("[global]\nindex-url = https://from.user/simple\n")
    assert index_url(home) == "https://from.user/simple"
    assert index_url({**home, "PIP_INDEX_URL": "https://p/simple"}) == "https://p/simple"
    both = {**home, "PIP_INDEX_URL": "https://p/simple", "UV_INDEX_URL": "https://u/simple/"}
    assert index_url(both) == "https://u/simple"
    assert index_url({**both, "UV_DEFAULT_INDEX": "corp=https://d/simple"}) == "https://d/simple"
    assert index_url({**both, "UV_DEFAULT_INDEX": "https://d/simple?a=b"}) == "https://d/simple?a=b"
    written = tmp_path / "xdg" / "uv" / "uv.toml"
    written.parent.mkdir()
    for text, expected in (
        ('index-url = "https://of.uv/simple/"', "https://of.uv/simple"),
        ('[pip]\nindex-url = "https://of.uv/simple"', "https://of.uv/simple"),
        (
            '[[index]]\nurl = "https://a/simple"\n[[index]]\nurl = "https://b/simple"\ndefault = true',
            "https://b/simple",
        ),
        ('[[index]]\nurl = "https://more/simple"', "https://pypi.org/simple"),
        ("offline = false", "https://p/simple"),
        ("not toml [", "https://p/simple"),
    ):
        written.write_text(text)
        assert index_url({**home, "PIP_INDEX_URL": "https://p/simple"}) == expected, text
        assert index_url(both) == "https://u/simple"
    written.unlink()
    pip.write_text("not an ini file [")
    assert index_url({**home, "PIP_CONFIG_FILE": str(pip)}) == "https://from.user/simple"


def test_an_index_that_is_no_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not an index over HTTP"):
        Index("/some/folder", cache=tmp_path)
