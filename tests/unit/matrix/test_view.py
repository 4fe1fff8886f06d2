"""The quick form of the matrix: it says what the typed form says, and never what an older file said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envpin.core.errors import InputError
from envpin.core.resources import data_path
from envpin.matrix import load
from envpin.matrix.literals import required_literal
from envpin.matrix.load import load_matrix
from envpin.matrix.view import LEFT_OUT, Record, load_view

if TYPE_CHECKING:
    from pathlib import Path

ONE = 'schema = 1\n[families.one]\ntitle = "{title}"\nunpinnable = "an example"\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENVPIN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def same(quick: Any, typed: Any) -> None:
    if isinstance(typed, msgspec.Struct):
        assert isinstance(quick, Record)
        properties = [name for name, own in vars(type(typed)).items() if isinstance(own, property)]
        for name in (*typed.__struct_fields__, *properties):
            if f"{type(typed).__name__}.{name}" not in LEFT_OUT:
                same(getattr(quick, name), getattr(typed, name))
    elif isinstance(typed, dict):
        assert quick.keys() == typed.keys()
        for key, value in typed.items():
            same(quick[key], value)
    elif isinstance(typed, tuple):
        assert len(quick) == len(typed)
        for one, other in zip(quick, typed, strict=True):
            same(one, other)
    else:
        assert (quick, type(quick)) == (typed, type(typed))


@pytest.mark.parametrize("reading", ["first", "from the cache"])
def test_it_says_what_the_typed_matrix_says(reading: str) -> None:
    if reading == "from the cache":
        load_view()
    same(load_view(), load_matrix())


def test_the_second_reading_takes_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_view()
    monkeypatch.setattr(load, "load_matrix", lambda _path: pytest.fail("read again"))
    assert load_view() == before


def test_an_edit_is_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    for title in ("A", "B", "A"):
        path.write_text(ONE.format(title=title))
        assert load_view(path).families["one"].title == title


def test_an_overlay_that_comes_and_goes_is_seen(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENVPIN_MATRIX")
    assert "one" not in load_view().families
    (home / "matrix.toml").write_text(ONE.format(title="Ours"))
    assert load_view().overlaid == ["one"]  # type: ignore[comparison-overlap]
    (home / "matrix.toml").unlink()
    assert "one" not in load_view().families


@pytest.mark.parametrize("damage", [b"", b"{", b"null"])
def test_a_damaged_cache_is_read_past(home: Path, damage: bytes) -> None:
    load_view()
    (kept,) = (home / "cache" / "matrix").glob("*.view")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1000] + damage)
    assert "llama3.1" in load_view().families


def test_a_cache_that_cannot_be_written_is_done_without(home: Path) -> None:
    home.mkdir()
    (home / "cache").write_text("a file where a folder should be")
    assert "llama3.1" in load_view().families


def test_faults_are_those_of_the_typed_reading(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            load_view(path)


def test_every_pattern_of_the_matrix_has_its_letters() -> None:
    without = [
        pattern
        for family in load_matrix(data_path("compat_matrix.toml")).families.values()
        for pattern, literal in zip(family.match.names, family.match.literals, strict=True)
        if not literal
    ]
    assert without == []


PIECES = st.sampled_from(
    ["llama", "ab", "c?", "d*", "e+", "f{0,2}", "[gh]", "[^]i]", "[\\]j]", "(kl|m)", "(?!no)", "\\d", "\\.", "-?", ".",
     "x1"]
)  # fmt: skip


@given(st.lists(PIECES, min_size=1, max_size=6).map("".join), st.data())
def test_no_match_goes_without_the_literal(pattern: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(pattern))
    if re.search(pattern, text):
        assert required_literal(pattern) in text


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("llama-?3", "llama"), ("(^|/)yi-", "yi"), ("a|bcd", ""), ("(?i)abc", ""), ("qwq-", "qwq"), ("colou?r", "colo"),
        ("x{2}yz", "yz"), ("[ab]cd", "cd"), ("[]a]cd", "cd"), ("", ""), ("(", ""), ("[a", ""), ("ab\\", "ab"),
    ],
)  # fmt: skip
def test_literals(pattern: str, literal: str) -> None:
    assert required_literal(pattern) == literal
