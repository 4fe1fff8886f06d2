"""What the fuzzers feed with bytes: each target writes them to the file that they stand for, and checks its folder."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.core.errors import InputError
from envpin.diagnose.check import check
from envpin.diagnose.logs.reader import diagnose_log
from envpin.diagnose.logs.signature import load_signatures
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.pickles import state_dict, write_bin, write_legacy

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = {"transformers": "4.43.1", "peft": "0.12.0", "torch": "2.4.0", "tokenizers": "0.19.1", "numpy": "1.26.4"}
SHAPES = llama_shapes(layers=1)


class Files:
    """A healthy base and adapter; a target changes one file of one of them."""

    def __init__(self, root: Path) -> None:
        self.base = write_model(root / "base", SHAPES, llama_config(num_hidden_layers=1))
        self.adapter = write_adapter(root / "adapter", lora_shapes(SHAPES))
        self.shards = write_model(root / "shards", SHAPES, llama_config(num_hidden_layers=1), shards=2)
        self.pickled = write_adapter(root / "pickled", {})
        (self.pickled / "adapter_model.safetensors").unlink()
        self.plain = write_adapter(root / "plain", lora_shapes(SHAPES))

    def read(self, path: Path, base: Path | None = None) -> None:
        """As `check` does with a target; a refusal is an answer too."""
        with contextlib.suppress(InputError):
            report = check(path, base=base, target=TARGET)
            assert all(one.fix for one in report.findings)


def _header(files: Files, data: bytes) -> None:
    (files.adapter / "adapter_model.safetensors").write_bytes(len(data).to_bytes(8, "little") + data)
    files.read(files.adapter, files.base)


def _weights(files: Files, data: bytes) -> None:
    (files.adapter / "adapter_model.safetensors").write_bytes(data)
    files.read(files.adapter, files.base)


def _index(files: Files, data: bytes) -> None:
    (files.shards / "model.safetensors.index.json").write_bytes(data)
    files.read(files.shards)


def _config(files: Files, data: bytes) -> None:
    (files.base / "config.json").write_bytes(data)
    (files.base / "generation_config.json").write_bytes(data)
    files.read(files.plain, files.base)
    files.read(files.base)


def _adapter_config(files: Files, data: bytes) -> None:
    (files.adapter / "adapter_config.json").write_bytes(data)
    files.read(files.adapter, files.base)


def _manifest(files: Files, data: bytes) -> None:
    (files.plain / "envpin.json").write_bytes(data)
    (files.base / "envpin-merge.json").write_bytes(data)
    files.read(files.plain, files.base)


def _tokenizer(files: Files, data: bytes) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "added_tokens.json"):
        (files.plain / name).write_bytes(data)
    files.read(files.plain, files.base)
    (files.plain / "tokenizer.json").unlink()


def _sentencepiece(files: Files, data: bytes) -> None:
    (files.plain / "tokenizer.model").write_bytes(data)
    files.read(files.plain, files.base)


def _pickle(files: Files, data: bytes) -> None:
    """Bare opcodes, behind the head of the format before torch 1.6."""
    head = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b".\x80\x02M\xe9\x03.\x80\x02}."
    (files.pickled / "adapter_model.bin").write_bytes(head + data)
    files.read(files.pickled, files.base)


def _archive(files: Files, data: bytes) -> None:
    (files.pickled / "adapter_model.bin").write_bytes(data)
    files.read(files.pickled, files.base)


def _log(files: Files, data: bytes) -> None:
    del files
    diagnose_log(io.BytesIO(data))


TARGETS: dict[str, Callable[[Files, bytes], object]] = {
    "header": _header, "weights": _weights, "index": _index, "config": _config, "adapter_config": _adapter_config,
    "manifest": _manifest, "tokenizer": _tokenizer, "sentencepiece": _sentencepiece, "pickle": _pickle,
    "archive": _archive, "log": _log,
}  # fmt: skip


def seeds(target: str) -> list[bytes]:
    """Healthy inputs to begin with."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder))
        weights = (files.adapter / "adapter_model.safetensors").read_bytes()
        small = {"a": (2, 3), "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": (8, 64)}
        archive = write_bin(Path(folder) / "x.bin", small).read_bytes()
        legacy = write_legacy(Path(folder) / "y.bin", small).read_bytes()
        tokens = {
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]},
            "added_tokens": [{"id": 2, "content": "<x>"}],
            "added_tokens_decoder": {"2": {"content": "<x>"}},
        }
        found: dict[str, list[bytes]] = {
            "header": [weights[8 : 8 + int.from_bytes(weights[:8], "little")]],
            "weights": [weights[:2000], b"version https://git-lfs.github.com/spec/v1\nsize 12\n", b"<html>"],
            "index": [(files.shards / "model.safetensors.index.json").read_bytes()],
            "config": [(files.base / "config.json").read_bytes(),
                       json.dumps({"model_type": "qwen2_vl", "text_config": {"vocab_size": 5}, "rope_parameters": {},
                                   "quantization_config": {"quant_method": "gptq"}, "auto_map": {"A": "b.C"},
                                   "do_sample": False, "temperature": 0.5, "tie_word_embeddings": True}).encode()],
            "adapter_config": [(files.plain / "adapter_config.json").read_bytes(),
                               b'{"peft_type":"LORA","r":4,"rank_pattern":{"q_proj":8},"modules_to_save":["lm_head"]}'],
            "manifest": [b'{"schema":1,"base":{"embedding_rows":300,"model_type":"llama"},"distributions":[]}',
                         b'{"schema":1,"adapter":{"files":{"adapter_model.safetensors":"sha256:00"}}}'],
            "tokenizer": [json.dumps(tokens).encode(), b'{"model":{"type":"Unigram","vocab":[["a",-1.0]]}}'],
            "sentencepiece": [b"\x0a\x05\x0a\x03abc\x0a\x0c\x0a\x03xyz\x15\x00\x00\x80\xbf"],
            "pickle": [state_dict(small, more=b"N"), legacy[-200:]],
            "archive": [archive, legacy],
            "log": [b"\x1b[31msize mismatch for a: \r\n", *(one.sample.encode() for one in load_signatures()[::3])],
        }  # fmt: skip
        return found[target]
