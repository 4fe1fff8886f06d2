"""Tables: aligned whatever their cells hold, and cut where the terminal is too narrow."""

from __future__ import annotations

import pytest

from envpin.cli.console.tables import joined, table, widths_of
from envpin.cli.console.width import cut, padded, wide

ROWS = (("ID", "TITLE", "VERSION"), ("llama", "a title that is a little longer", "4.43.1"), ("t5", "short", "4.43.1"))


def test_the_elastic_column_is_cut_and_then_left_out() -> None:
    whole = table(ROWS, width=None, elastic=1)
    assert whole[1] == "llama  a title that is a little longer  4.43.1"
    assert table(ROWS, width=100, elastic=1) == whole
    assert table(ROWS, width=35, elastic=1)[1] == "llama  a title that is a …  4.43.1"
    assert table(ROWS, width=20, elastic=1) == ["ID     VERSION", "llama  4.43.1", "t5     4.43.1"]


def test_wide_letters_keep_the_columns_aligned() -> None:
    lines = table((("通义千问", "7B"), ("llama", "8B")))
    assert lines == ["通义千问  7B", "llama     8B"]
    assert {wide(line.rpartition("  ")[0]) for line in lines} == {8}
    assert widths_of((("通义", ""), ("a", "bc"))) == [4, 2]
    assert joined(("通义", "x"), (6, 1), "|") == "通义  |x"


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("llama", 5), ("é", 1), ("e\u0301", 1), ("通义", 4), ("ﾌｧｲﾙ", 4), ("ファイル", 8), ("…", 1)],
)
def test_wide_counts_columns(text: str, columns: int) -> None:
    assert wide(text) == columns


@pytest.mark.parametrize(
    ("text", "width", "found"),
    [("llama", 5, "llama"), ("llama", 4, "lla…"), ("通义千问", 8, "通义千问"), ("通义千问", 7, "通义千…"),
     ("通义千问", 6, "通义…"), ("llama", 1, "…"), ("", 0, "")],
)  # fmt: skip
def test_cut_fits_and_says_that_there_was_more(text: str, width: int, found: str) -> None:
    assert cut(text, width) == found
    assert wide(found) <= width
    assert wide(padded(found, width)) == width
