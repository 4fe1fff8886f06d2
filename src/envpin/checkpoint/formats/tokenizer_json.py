"""The parts of a `tokenizer.json` that are read, as msgspec types. Apart, so that msgspec is imported only on use."""

from __future__ import annotations

import msgspec


class Added(msgspec.Struct):
    id: int
    content: str


class Model(msgspec.Struct):
    """`vocab` stays undecoded: its form depends on the type of the model."""

    type: str | None = None
    vocab: msgspec.Raw = msgspec.Raw(b"{}")
    merges: msgspec.Raw = msgspec.Raw(b"[]")


class TokenizerDocument(msgspec.Struct):
    model: Model
    added_tokens: list[Added] = []
