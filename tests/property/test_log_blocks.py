"""A log of any size is read in blocks that split no line."""

from __future__ import annotations

import io

from envpin.diagnose.logs.reader import Diagnosis, diagnose_log
from envpin.diagnose.logs.text.blocks import lines_with


def diagnose(text: str | bytes) -> Diagnosis:
    return diagnose_log(io.BytesIO(text.encode() if isinstance(text, str) else text))


def codes(text: str | bytes) -> list[str]:
    return [one.code for one in diagnose(text).findings]


SIZE = (
    "size mismatch for {}: copying a param with shape torch.Size({}) from checkpoint, "
    "the shape in current model is torch.Size({})."
)


def test_blocks_do_not_split_a_line() -> None:
    sample = SIZE.format("base_model.model.model.embed_tokens.weight", [32001, 4096], [32000, 4096])
    for before in range((1 << 20) - 400, (1 << 20) + 40, 37):
        assert codes(b"x" * 79 + b"\n" + b"y" * (before - 80) + b"\n" + sample.encode() + b"\n") == ["vocab-grown"]


def test_a_large_block_is_searched_for_the_anchors_whose_words_it_has() -> None:
    filler = b"{'loss': 1.25, 'grad_norm': 0.5}\n" * 4_000
    for line, anchor in (
        (b"xValueErrors: 1", b"alueError"), (b"a-of-b", b"-of-"), (b"KeyError: 'x'", b"KeyError: '"),
        ("未找到".encode(), "找到".encode()), (b"a_b is_required", b"_b is_"),
    ):  # fmt: skip
        assert [text.encode() for _, text in lines_with(filler + line + b"\n", anchor)] == [line]
        assert list(lines_with(filler, anchor)) == []
