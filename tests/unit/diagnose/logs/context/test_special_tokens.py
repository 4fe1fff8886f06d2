"""Parts that the tokenizers of some families do not have."""

from __future__ import annotations

import pytest

from tests.support.logs import answer

_OWN = 'Traceback (most recent call last):\n  File "/home/u/app/compare.py", line 8, in <module>\n    {}\n'
_NOTHING = "AttributeError: 'NoneType' object has no attribute '{}'\n"


@pytest.mark.parametrize(
    ("call", "name", "part"),
    [
        ("print(tokenizer.normalizer.normalize_str(text))", "normalize_str", "normalizer"),
        ("words = tok.pre_tokenizer.pre_tokenize_str(text)", "pre_tokenize_str", "pre_tokenizer"),
        ("text = backend_tokenizer.decoder.decode(pieces)", "decode", "decoder"),
    ],
)
def test_a_part_that_is_none_is_one_of_another_family(call: str, name: str, part: str) -> None:
    codes, text = answer(_OWN.format(call) + _NOTHING.format(name))
    assert (list(codes), f"`{part}` is None" in text) == (["model-of-another-kind"], True), text


def test_a_decoder_of_another_program_stays_silent() -> None:
    codes, _ = answer(_OWN.format("video.decoder.decode(frame)") + _NOTHING.format("decode"))
    assert list(codes) == []
