"""How many tokens a folder's tokenizer has, and which were added, from its files alone.

`length` is what `len(tokenizer)` says in transformers: the ids of the vocabulary and of the added tokens together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envpin.checkpoint.formats.safetensors import Fault, json_fault
from envpin.checkpoint.formats.sentencepiece import NotSentencePieceError, read_pieces
from envpin.core import json_input, text_input
from envpin.core.files import open_file, read_bounded
from envpin.core.stand_ins import stand_in
from envpin.core.typed_json import NOT_OF_ITS_SHAPE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from envpin.core.place import Place

FILES = (
    "tokenizer.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json", "tokenizer.model",
    "sentencepiece.bpe.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt",
)  # fmt: skip

# Gemma 3's file, the largest in common use, has 33 MB; the number of colons bounds the entries of its vocabulary.
MAX_BYTES = 48_000_000
# More than twice Gemma's 262,144 tokens, as in `sentencepiece`; merges are bounded by their brackets.
MAX_ENTRIES = 600_000
_PAIRS = re.compile(rb"\s*\[\s*\[")


# Of a large tokenizer.json both ends tell how it was written: the model comes last in it, its options before its
# vocabulary, its merges at the end.
_HEAD_BYTES, _TAIL_BYTES = 1_000_000, 4_000
_IGNORE_MERGES = re.compile(rb'"ignore_merges"\s*:\s*(?:true|false)')
_PAIRS_AT_END = re.compile(rb"\]\s*\]\s*\}\s*\}\s*$")
_TEXTS_AT_END = re.compile(rb'"\s*\]\s*\}\s*\}\s*$')


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerMarks:
    """How tokenizer.json was written. `pairs` is None where it has no merges; `ignore_merges` where it is no BPE."""

    pairs: bool | None
    ignore_merges: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerFiles:
    """`length` is None where no file tells it, `top` is the highest id; `added` maps an added token to its id; `files`
    are names. `version` is that of the format and `parts` the types of what tokenizer.json is made of, its model among
    them. `merges_are_pairs` is the form that tokenizers 0.20 and newer write, and older ones cannot read.
    """

    length: int | None
    added: dict[str, int]
    files: tuple[str, ...]
    config: dict[str, object] | None = None
    model_type: str | None = None
    top: int | None = None
    merges_are_pairs: bool = False
    version: str = ""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    marks: TokenizerMarks | None = None
    faults: tuple[Fault, ...] = ()


def read_tokenizer(folder: Place) -> TokenizerFiles | None:
    """The tokenizer in a folder, or None where there is no file of one. Broken files become faults."""
    files = tuple(name for name in FILES if (folder / name).is_file())
    if not files or files == ("special_tokens_map.json",):
        return None
    faults: list[Fault] = []
    config = _object(folder / "tokenizer_config.json", faults) if "tokenizer_config.json" in files else None
    vocabulary: _Vocabulary | None = None
    marks: TokenizerMarks | None = None
    if "tokenizer.json" in files:
        vocabulary, marks = _fast(folder / "tokenizer.json", faults)
    else:
        vocabulary = _slow(folder, files, faults)
        if vocabulary is not None and "added_tokens.json" in files:
            vocabulary.add(_object(folder / "added_tokens.json", faults) or {})
    if vocabulary is not None:
        vocabulary.add(_added_in_config(config))
    return TokenizerFiles(
        length=None if vocabulary is None else vocabulary.length,
        added={} if vocabulary is None else vocabulary.added,
        files=files,
        config=config,
        model_type=None if vocabulary is None else vocabulary.model_type,
        top=None if vocabulary is None else vocabulary.top,
        merges_are_pairs=vocabulary is not None and vocabulary.merges_are_pairs,
        version="" if vocabulary is None else vocabulary.version,
        parts={} if vocabulary is None else vocabulary.parts,
        marks=marks,
        faults=tuple(faults),
    )


def read_marks(path: Place) -> TokenizerMarks | None:
    """The marks of a tokenizer.json from its two ends. A vocabulary may have 30 MB, and may have to be fetched."""
    try:
        if not path.is_file():
            return None
        size = path.stat().st_size
        with open_file(path) as stream:
            head = stream.read(_HEAD_BYTES)
            stream.seek(max(0, size - _TAIL_BYTES))
            tail = stream.read(_TAIL_BYTES)
    except (OSError, ValueError):
        return None
    return _marks(head, tail, size)


def _marks(head: bytes, tail: bytes, size: int) -> TokenizerMarks:
    pairs = True if _PAIRS_AT_END.search(tail) else False if _TEXTS_AT_END.search(tail) else None
    bpe = re.search(rb'"type"\s*:\s*"BPE"', head) is not None
    whole = size <= _HEAD_BYTES or b'"vocab"' in head
    ignoring = _IGNORE_MERGES.search(head) is not None
    return TokenizerMarks(pairs=pairs if bpe else None, ignore_merges=ignoring if bpe and (whole or ignoring) else None)


class _Vocabulary:
    """The tokens of the model and those added to it. A token that is in both counts once."""

    def __init__(self, tokens: Collection[str], model_type: str) -> None:
        self.tokens = tokens
        self.model_type = model_type
        self.added: dict[str, int] = {}
        self.merges_are_pairs = False
        self.version = ""
        self.parts: dict[str, tuple[str, ...]] = {}
        self._fresh = 0

    def add(self, added: dict[str, Any]) -> None:
        for token, at in added.items():
            if type(at) is int and at >= 0 and token not in self.added:
                self.added[token] = at
                self._fresh += token not in self.tokens

    @property
    def length(self) -> int:
        return len(self.tokens) + self._fresh

    @property
    def top(self) -> int:
        """The highest id. Of a list of tokens the last place."""
        own = self.tokens.values() if isinstance(self.tokens, dict) else (len(self.tokens) - 1,)
        return max((*self.added.values(), max(own, default=-1)), default=-1)


def _object(path: Place, faults: list[Fault]) -> dict[str, object] | None:
    remarks: list[str] = []
    try:
        return json_input.read_object(path, remarks=remarks)
    except json_input.BadJsonError as error:
        faults.append(json_fault(path.name, error))
    except OSError as error:
        faults.append(Fault("corrupt-header", path.name, f"cannot be read: {error.strerror or error}"))
    finally:
        faults += [Fault("duplicate-json-key", path.name, text) for text in remarks]
    return None


def _added_in_config(config: dict[str, object] | None) -> dict[str, int]:
    decoder = (config or {}).get("added_tokens_decoder")
    if not isinstance(decoder, dict):
        return {}
    found: dict[str, int] = {}
    for key, entry in decoder.items():
        content = entry.get("content") if isinstance(entry, dict) else None
        if isinstance(content, str) and key.isdecimal() and len(key) < 10:
            found[content] = int(key)
    return found


def _fast(path: Place, faults: list[Fault]) -> tuple[_Vocabulary | None, TokenizerMarks | None]:
    """The vocabulary of a `tokenizer.json`; decoded by msgspec, which skips merges and rules without building them."""
    import msgspec

    from envpin.checkpoint.formats.tokenizer_json import TokenizerDocument

    marks: TokenizerMarks | None = None
    try:
        data = read_bounded(path, MAX_BYTES)
        marks = _marks(data[:_HEAD_BYTES], data[-_TAIL_BYTES:], len(data))
        if data.count(b":") > MAX_ENTRIES or data.count(b"[") > 4 * MAX_ENTRIES:
            raise json_input.BadJsonError("more entries than any tokenizer has")
        if (instead := stand_in(data[:_HEAD_BYTES])) is not None:
            raise json_input.BadJsonError(f"{instead.words}, not the file", instead)
        document = msgspec.json.decode(data, type=TokenizerDocument)
        raw = bytes(document.model.vocab)
        found = _Vocabulary((), document.model.type or "BPE")
        found.merges_are_pairs = bool(_PAIRS.match(document.model.merges))
        found.version, found.parts = document.version, document.parts()
        added = {token.content: token.id for token in document.added_tokens}
        del data, document  # a vocabulary may be large: one copy of it at a time
        if raw.lstrip()[:1] == b"[":  # Unigram: pairs of a token and its score
            found.tokens = {pair[0] for pair in msgspec.json.decode(raw, type=list[tuple[str, float]])}
        else:
            found.tokens = msgspec.json.decode(raw, type=dict[str, int])
    except json_input.BadJsonError as error:
        faults.append(json_fault(path.name, error, "is not a tokenizer"))
        return None, marks
    except NOT_OF_ITS_SHAPE as error:
        faults.append(Fault("corrupt-header", path.name, f"is not a tokenizer: {error}"))
        return None, marks
    except OSError as error:
        faults.append(Fault("corrupt-header", path.name, f"cannot be read: {error.strerror or error}"))
        return None, marks
    found.add(added)
    return found, marks


def _slow(folder: Place, files: tuple[str, ...], faults: list[Fault]) -> _Vocabulary | None:
    for name in ("tokenizer.model", "sentencepiece.bpe.model", "spiece.model"):
        if name in files:
            try:
                return _Vocabulary(set(read_pieces(folder / name)), "sentencepiece")
            except NotSentencePieceError as error:
                faults.append(Fault("corrupt-header", name, f"is not a sentencepiece model: {error}"))
                return None
    if "vocab.json" in files:
        vocabulary = _object(folder / "vocab.json", faults)
        return None if vocabulary is None else _Vocabulary(set(vocabulary), "BPE")
    if "vocab.txt" in files:
        path = folder / "vocab.txt"
        try:
            lines = text_input.plain(read_bounded(path, json_input.MAX_BYTES)).removesuffix("\n").split("\n")
        except OSError as error:
            faults.append(Fault("corrupt-header", path.name, f"cannot be read: {error.strerror or error}"))
            return None
        return _Vocabulary(set(lines), "WordPiece")
    return None
