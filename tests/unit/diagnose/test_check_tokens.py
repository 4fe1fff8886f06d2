"""The tokenizer next to a model: what its class refuses, what tokenizers does not have, ids without a row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from envpin.diagnose.check import check
from tests.support.checkpoints import llama_config, llama_shapes, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.findings import Finding

_ADDED = {"id": 0, "content": "<s>", "special": True}


def document(**changes: Any) -> dict[str, Any]:
    """A tokenizer.json with a token for each of some letters."""
    vocabulary = {"<s>": 0, "a": 1, "b": 2, "ab": 3}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [_ADDED], "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel"}, "post_processor": None, "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [["a", "b"]]},
    } | changes  # fmt: skip


def said(tmp_path: Path, config: dict[str, Any] | None = None, **changes: Any) -> dict[str, Finding]:
    base = write_model(tmp_path / "base", llama_shapes(), llama_config())
    (base / "tokenizer.json").write_text(json.dumps(document(**changes)))
    (base / "tokenizer_config.json").write_text(json.dumps(config or {"bos_token": "<s>"}))
    return {one.code: one for one in check(base).findings}


def test_a_sound_tokenizer_has_no_finding(tmp_path: Path) -> None:
    typed = {"bos_token": {"__type": "AddedToken", "content": "<s>"}, "model_max_length": 1e30, "unk_token": None}
    assert said(tmp_path, typed) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bos_token", 3), ("eos_token", []), ("pad_token", {"content": "<s>"}), ("model_max_length", "2048"),
        ("tokenizer_class", ["LlamaTokenizer"]), ("added_tokens_decoder", []),
    ],
)  # fmt: skip
def test_a_value_that_the_class_refuses_is_a_blocker(name: str, value: object, tmp_path: Path) -> None:
    """Each ends `AutoTokenizer.from_pretrained` of transformers 4.57.6 or 5.24.0."""
    found = said(tmp_path, {name: value})["corrupt-header"]
    assert (found.severity, found.message.startswith(f"`{name}` of tokenizer_config.json")) == ("blocker", True)


@pytest.mark.parametrize(("release", "severity"), [("4.57.6", "blocker"), ("5.0.0", None), (None, "info")])
def test_a_list_of_tokens_is_of_transformers_5(release: str | None, severity: str | None, tmp_path: Path) -> None:
    said(tmp_path, {"extra_special_tokens": ["<x>"]})
    target = {} if release is None else {"transformers": release}
    found = {one.code: one for one in check(tmp_path / "base", target=target).findings}.get("tokenizer-needs-newer")
    assert (found and found.severity) == severity


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": "2.0"}, "corrupt-header"), ({"version": None}, "corrupt-header"),
        ({"normalizer": "x"}, "corrupt-header"), ({"padding": []}, "corrupt-header"),
        ({"pre_tokenizer": {"type": "Tomorrow"}}, "tokenizer-needs-newer"), ({"decoder": {}}, "tokenizer-needs-newer"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Tomorrow"}]}}, "tokenizer-needs-newer"),
        ({"model": {"type": "Tomorrow", "vocab": {"a": 0}}}, "tokenizer-needs-newer"),
    ],
)  # fmt: skip
def test_a_document_that_tokenizers_does_not_read(changes: dict[str, Any], code: str, tmp_path: Path) -> None:
    assert code in said(tmp_path, **changes)


@pytest.mark.parametrize(("highest", "is_said"), [(319, False), (320, True)])
def test_ids_beyond_the_rows_of_the_embedding(highest: int, is_said: bool, tmp_path: Path) -> None:
    added = said(tmp_path, added_tokens=[_ADDED, {"id": highest, "content": "<far>"}])
    assert ("vocab-rows-not-saved" in added) is is_said
    if is_said:
        assert added["vocab-rows-not-saved"].severity == "warning"
        assert added["vocab-rows-not-saved"].evidence[0].found == "<far>: 320"
    (tmp_path / "own").mkdir()
    own = said(tmp_path / "own", model={"type": "BPE", "vocab": {"<s>": 0, "a": highest}, "merges": []})
    assert ("vocab-rows-not-saved" in own) is is_said
