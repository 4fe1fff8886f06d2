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


class TokenizerPart(msgspec.Struct):
    """A normalizer, pre-tokenizer, post-processor or decoder; one of type `Sequence` holds others."""

    type: str | None = None
    normalizers: list[TokenizerPart] = []
    pretokenizers: list[TokenizerPart] = []
    processors: list[TokenizerPart] = []
    decoders: list[TokenizerPart] = []

    def types(self) -> list[str]:
        """Its own type and those of what it holds; an empty text where it has none."""
        inner = (*self.normalizers, *self.pretokenizers, *self.processors, *self.decoders)
        return [self.type or "", *(one for part in inner for one in part.types())]


class TokenizerDocument(msgspec.Struct):
    model: Model
    version: str = "1.0"
    truncation: dict[str, msgspec.Raw] | None = None
    padding: dict[str, msgspec.Raw] | None = None
    normalizer: TokenizerPart | None = None
    pre_tokenizer: TokenizerPart | None = None
    post_processor: TokenizerPart | None = None
    decoder: TokenizerPart | None = None
    added_tokens: list[Added] = []

    def parts(self) -> dict[str, tuple[str, ...]]:
        """The types of each part, and that of the model, which old files do not tell."""
        held = {
            "normalizer": self.normalizer, "pre_tokenizer": self.pre_tokenizer, "post_processor": self.post_processor,
            "decoder": self.decoder,
        }  # fmt: skip
        found = {name: tuple(part.types()) for name, part in held.items() if part is not None}
        return found | ({"model": (self.model.type,)} if self.model.type else {})
