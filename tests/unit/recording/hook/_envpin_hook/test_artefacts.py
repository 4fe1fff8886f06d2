"""The files that a run saved."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING

import pytest

from envpin.recording.injected import hook

if TYPE_CHECKING:
    from pathlib import Path
artefacts = hook("artefacts")


def test_the_files_of_a_save(tmp_path: Path) -> None:
    header = json.dumps({"b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"format": "pt"}})
    weights = struct.pack("<Q", len(header)) + header.encode() + bytes(8)
    (tmp_path / "adapter_model.safetensors").write_bytes(weights)
    (tmp_path / "adapter_config.json").write_text('{"r": 4}')
    saved = artefacts.saved(str(tmp_path), "adapter", None)
    assert saved["config"] == {"r": 4}
    assert saved["tensors"] == [{"name": "b", "shape": [2], "dtype": "F32"}]
    assert saved["files"]["adapter_model.safetensors"] == hashlib.sha256(weights).hexdigest()
    limited = artefacts.saved(str(tmp_path), "adapter", 10)
    assert set(limited["files"]) == {"adapter_config.json"}
    assert set(limited["undigested"]) == {"adapter_model.safetensors"}
    (tmp_path / "adapter_model.safetensors").write_bytes(struct.pack("<Q", 2**40))
    with pytest.raises(ValueError, match="header of"):
        artefacts.saved(str(tmp_path), "adapter", None)


def test_the_rules_of_a_tokenizer_are_what_it_holds_but_how_it_last_truncated(tmp_path: Path) -> None:
    def rules(truncation: str, vocabulary: str) -> str | None:
        text = '{"version": "1.0", "truncation": %s, "padding": null, "added_tokens": [], "model": %s}'
        (tmp_path / "tokenizer.json").write_text(text % (truncation, vocabulary))
        found: str | None = artefacts.tokenizer_rules(str(tmp_path))
        return found

    assert artefacts.tokenizer_rules(str(tmp_path)) is None
    plain = rules("null", "{}")
    assert plain is not None
    assert rules('{"max_length": 48}', "{}") == plain
    assert rules("null", '{"a": 1}') != plain
    (tmp_path / "tokenizer.json").write_text("{}")
    assert artefacts.tokenizer_rules(str(tmp_path)) is None
