"""Text that fits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envpin.cli.console.width import wrapped

WORDS = st.lists(st.from_regex(r"[a-z]{1,12}", fullmatch=True), min_size=1, max_size=30)


@given(WORDS, st.integers(min_value=32, max_value=120))
def test_no_line_is_too_long_and_no_word_is_lost(words: list[str], width: int) -> None:
    line = "  needs     " + " ".join(words)
    found = wrapped([line], indent=12, width=width)
    assert all(len(one) <= width for one in found)
    assert [one for part in found for one in part.split()] == ["needs", *words]
    assert all(one.startswith(" " * 12) for one in found[1:])
    assert wrapped([line], indent=12, width=None) == [line]


def test_a_word_that_is_too_long_stays_whole() -> None:
    address = "https://github.com/" + "x" * 60
    assert wrapped([f"            {address}"], indent=12, width=50)[-1].strip() == address


def test_a_command_stays_whole() -> None:
    command = "  envpin env create transformers==4.43.1,peft==0.12.0 --python 3.11 --torch-backend cpu"
    assert wrapped([command], indent=4, width=40) == [command]


def test_a_text_of_several_lines_is_broken_line_by_line() -> None:
    assert wrapped(["a table\n    of: cells", "x"], indent=8, width=28) == ["a table", "    of: cells", "x"]
