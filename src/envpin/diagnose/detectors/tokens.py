"""Detectors on a tokenizer's files: values that its class refuses, parts that no release has, ids without a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.core.findings import Evidence
from envpin.core.sizes import counted
from envpin.diagnose.catalogue.catalogue import finding
from envpin.diagnose.detectors.shapes import SHOWN, json_text, places, refused_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpin.checkpoint.checkpoint import Checkpoint
    from envpin.checkpoint.formats.tokenizer import TokenizerFiles
    from envpin.core.findings import Finding, Severity
    from envpin.diagnose.subject import CheckSubject

_READ = "tokenizers 0.23"
_VERSION = "1.0"
# The types that tokenizers has for each part of a tokenizer.json: the names in its modules, and those that it writes.
_TYPES: dict[str, frozenset[str]] = {
    "model": frozenset({"BPE", "WordPiece", "WordLevel", "Unigram"}),
    "normalizer": frozenset({
        "BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend",
        "Replace", "Sequence", "Strip", "StripAccents",
    }),
    "pre_tokenizer": frozenset({
        "BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Delimiter", "Digits", "FixedLength", "Metaspace",
        "Punctuation", "Sequence", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit",
    }),
    "post_processor": frozenset({
        "BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing",
    }),
    "decoder": frozenset({
        "BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Replace", "Sequence", "Strip",
        "WordPiece",
    }),
}  # fmt: skip
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def detect_tokens(folder: Checkpoint, subject: CheckSubject) -> Iterator[Finding]:
    """Of the adapter's folder, of its base, or of a model."""
    files = folder.tokenizer
    if files is None:
        return
    yield from _values(files, subject)
    yield from _extra(files, subject)
    yield from _parts(files, subject)
    if folder.kind == "model":
        yield from _rows(folder, files, subject)


def _values(files: TokenizerFiles, subject: CheckSubject) -> Iterator[Finding]:
    """Tried with transformers 4.57.6 and 5.24.0: each ends the load."""
    config = files.config or {}
    if wrong := dict(_refused(config)):
        text = "`{name}` of tokenizer_config.json is {value}: {why}"
        yield refused_values("tokenizer_config.json", wrong, config.get, subject, text=text)


def _refused(config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name in _SPECIAL:
        token = config.get(name)
        if token is not None and not isinstance(token, str) and not _is_written(token):
            yield name, "a token is a text, or an object with `__type`"
    longest = config.get("model_max_length", 1)
    if longest is not None and not isinstance(longest, int | float):
        yield "model_max_length", "it is compared with lengths"
    if not isinstance(config.get("tokenizer_class"), str | None):
        yield "tokenizer_class", "the class is looked up by its name"
    if not isinstance(config.get("added_tokens_decoder", {}), dict):
        yield "added_tokens_decoder", "it maps ids to tokens"


def _is_written(token: object) -> bool:
    """Whether it is a token in the form that `convert_added_tokens` of transformers reads back from this file."""
    return isinstance(token, dict) and token.get("__type") == "AddedToken"


def _extra(files: TokenizerFiles, subject: CheckSubject) -> Iterator[Finding]:
    """transformers 5 writes a list; 4.57.6 asks whatever is there for its keys."""
    config = files.config or {}
    extra = config.get("extra_special_tokens")
    if "extra_special_tokens" not in config or isinstance(extra, dict) or subject.from_on("transformers", "5.0"):
        return
    severity: Severity = "blocker" if subject.below("transformers", "5.0") else "info"
    what = "a list, as transformers 5 writes it" if isinstance(extra, list) else json_text(extra)
    text = f"`extra_special_tokens` is {what}: releases before 5 ask for its keys, and end with an AttributeError"
    seen = [Evidence(file="tokenizer_config.json", found=f"extra_special_tokens: {json_text(extra)}")]
    fix = ("load it with transformers 5", "or take `extra_special_tokens` out, where its tokens are in tokenizer.json")
    yield finding("tokenizer-needs-newer", text, seen, severity=severity, fix=fix, names=places(subject))


def _parts(files: TokenizerFiles, subject: CheckSubject) -> Iterator[Finding]:
    if files.version not in {"", _VERSION}:
        text = f"tokenizer.json has version `{files.version[:20]}`, and tokenizers reads {_VERSION} alone"
        seen = [Evidence(file="tokenizer.json", found=f"version: {files.version[:20]}", expected=_VERSION)]
        yield finding("corrupt-header", text, seen, names=places(subject))
    unknown = [(place, one) for place, types in files.parts.items() for one in types if one not in _TYPES[place]]
    if unknown:
        place, one = unknown[0]
        text = f"tokenizer.json has a `{place}` of type `{one[:40] or None}`, which {_READ} does not have"
        seen = [Evidence(file="tokenizer.json", found=f"{place}: {one[:40]}") for place, one in unknown[:SHOWN]]
        yield finding("tokenizer-needs-newer", text, seen, severity="warning", names=places(subject))


def _rows(model: Checkpoint, files: TokenizerFiles, subject: CheckSubject) -> Iterator[Finding]:
    """Ids that the embedding has no row for: whoever writes such a token gets an index error, or nothing."""
    rows = model.embedding_rows
    if rows is None or files.top is None or files.top < rows:
        return
    beyond = sorted((at, token) for token, at in files.added.items() if at >= rows)
    text = (
        f"the tokenizer has ids up to {files.top}, and the embedding has {counted(rows, 'row')}: a text with such a "
        "token ends with an index error"
    )
    seen = [Evidence(file=files.files[0], found=f"{token[:40]}: {at}") for at, token in beyond[:SHOWN]]
    seen = seen or [Evidence(file=files.files[0], found=f"ids up to {files.top}")]
    fix = (
        "`model.resize_token_embeddings(len(tokenizer))` before saving, where the tokens were trained",
        "else take the tokenizer that was saved with these weights",
    )
    yield finding("vocab-rows-not-saved", text, seen, severity="warning", fix=fix, names=places(subject))
