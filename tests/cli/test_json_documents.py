"""`--json` where a command's answer is a text for stdout: the text is in the document, and nothing is next to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import answer
from tests.support.merge_records import write_merged

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("completion", "bash"), "text"),
        (("completion", "families"), "families"),
        (("matrix", "html", "-o", "-"), "text"),
    ],
)
def test_what_goes_to_stdout_is_in_the_document(words: tuple[str, ...], key: str) -> None:
    assert answer(*words)[key]


def test_a_card_that_is_only_printed_is_in_the_document(tmp_path: Path) -> None:
    merged = write_merged(tmp_path / "merged")
    assert "envpin" in answer("card", merged, "--print")["text"]
    assert not (merged / "README.md").exists()
