"""What the fuzzers feed with bytes: each target writes them to the file that they stand for, and checks its folder."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.bisect.session.history import read_records
from envpin.core import json_input
from envpin.core.errors import EnvpinError, InputError
from envpin.diagnose.check import check
from envpin.diagnose.logs.reader import diagnose_log
from envpin.diagnose.logs.signature import load_signatures
from envpin.envs.locks.lock import read_lock
from envpin.inference.infer import infer
from envpin.matrix.load import load_matrix
from envpin.matrix.results import read_document
from envpin.recording.injected import hook
from envpin.remote.index.types import parse_releases
from envpin.replay.reverify import reverify
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.pickles import state_dict, write_bin, write_legacy

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = {"transformers": "4.43.1", "peft": "0.12.0", "torch": "2.4.0", "tokenizers": "0.19.1", "numpy": "1.26.4"}
SHAPES = llama_shapes(layers=1)
PLAIN_LOCK = b"""lock-version = "1.0"
created-by = "x"
requires-python = ">=3.11"
[[packages]]
name = "peft"
version = "0.12.0"
wheels = [{ name = "peft-0.12.0-py3-none-any.whl", url = "https://i.test/peft-0.12.0-py3-none-any.whl",
 upload-time = 2024-07-24T11:00:00Z, hashes = { sha256 = "00" } }]
[tool.envpin]
family = "llama3.1"
"""
FOLDER = {"path": "/x", "files": {"a.safetensors": "0" * 64}}
MERGE_RECORD = json.dumps(
    {
        "schema": 1, "envpin": "0.1", "created": "2026-01-01", "inputs_digest": "0" * 64,
        "verdict": {"kind": "identical"}, "adapter": FOLDER, "base": FOLDER,
        "environment": {"key": "0", "lock_sha256": "0", "python": "3.11", "packages": {"peft": "1"}, "basis": "x"},
        "engine": "stream", "embedding": {}, "verification": {},
        "files": {"model-00001-of-00002.safetensors": "0" * 64},
        "merge": {"tensors": {"a": ["model-00001-of-00002.safetensors", 1, 8, 4]}},
    }
).encode()  # fmt: skip
EVIDENCE = json.dumps(
    {
        "kind": "matrix-evidence", "schema": 1, "breaks": {},
        "environments": {"a": {"packages": {"transformers": "4.43.1"}, "python": "3.11", "platform": "linux-x86_64",
                               "date": "2026-01-01", "tool": "x"}},
        "entries": [{"in": "a", "family": "llama", "capability": "load", "outcome": "ok", "seconds": 1.0}],
    }
).encode()  # fmt: skip
SEARCH_LOG = (
    b'{"event":"question","schema":1,"question":{"package":"peft"},"at":""}\n'
    b'{"event":"skip","reason":"x","version":"0.1","at":""}\n{"event":"start","jobs":1,"at":""}\n'
)
INDEX_PAGE = (
    b'{"name":"peft","files":[{"filename":"peft-0.12.0-py3-none-any.whl","url":"../x.whl","hashes":{"sha256":"00"},'
    b'"upload-time":"2024-07-24T11:00:00Z","requires-python":">=3.8","yanked":false,"core-metadata":true}]}'
)


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


def _lock(files: Files, data: bytes) -> None:
    path = files.base.parent / "pylock.fuzzed.toml"
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        _ = read_lock(path).digest


def _merge_record(files: Files, data: bytes) -> None:
    (files.shards / "envpin-merge.json").write_bytes(data)
    with contextlib.suppress(InputError):
        reverify(files.shards)


def _search_log(files: Files, data: bytes) -> None:
    path = files.base.parent / "log.jsonl"
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        read_records(path)


def _evidence(files: Files, data: bytes) -> None:
    path = files.base.parent / "evidence.json"
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        read_document(path)


def _matrix(files: Files, data: bytes) -> None:
    path = files.base.parent / "families.toml"
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        load_matrix(path)


def _page(files: Files, data: bytes) -> None:
    del files
    with contextlib.suppress(json_input.BadJsonError, InputError):
        page = json_input.parse(data, remarks=[])
        if isinstance(page, dict):
            parse_releases(page, "peft", base="https://index.test/simple/peft/")


def _traces(files: Files, data: bytes) -> None:
    """What training leaves next to an adapter, as `infer` reads it."""
    for name in ("training_args.bin", "trainer_state.json", "requirements.txt", "README.md", "config.yaml"):
        (files.plain / name).write_bytes(data)
    with contextlib.suppress(EnvpinError):
        infer(files.plain)
    for name in ("training_args.bin", "trainer_state.json", "requirements.txt", "README.md", "config.yaml"):
        (files.plain / name).unlink()


def _redaction(files: Files, data: bytes) -> None:
    """Arguments, variables and configs of a run, which may be another's."""
    del files
    words = data.decode("utf-8", "replace").split("\0")
    cleaned = hook("redaction").arguments(words)
    assert len(cleaned) == len(words)
    hook("redaction").document({"config": words, words[0]: words[-1]})


TARGETS: dict[str, Callable[[Files, bytes], object]] = {
    "header": _header, "weights": _weights, "index": _index, "config": _config, "adapter_config": _adapter_config,
    "manifest": _manifest, "tokenizer": _tokenizer, "sentencepiece": _sentencepiece, "pickle": _pickle,
    "archive": _archive, "log": _log, "lock": _lock, "merge_record": _merge_record, "search_log": _search_log,
    "evidence": _evidence, "matrix": _matrix, "page": _page, "traces": _traces, "redaction": _redaction,
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
            "lock": [PLAIN_LOCK],
            "merge_record": [MERGE_RECORD],
            "search_log": [SEARCH_LOG],
            "evidence": [EVIDENCE],
            "matrix": [b'schema = 1\n[families.x]\ntitle = "x"\n[families.x.match]\nmodel_type = ["llama"]\n'],
            "page": [INDEX_PAGE],
            "traces": [archive, b"peft==0.12.0\ntransformers>=4.43\n", b'{"global_step": 4, "log_history": []}',
                       b"---\nlibrary_name: peft\n---\n### Framework versions\n\n- PEFT 0.12.0\n"],
            "redaction": [b"python\0train.py\0--hf_token\0abc\0+x.api_key=s3cr3t\0https://me:pa@host/x?token=a",
                          b"Authorization: Bearer abcdefgh12345678", b'{"password": "x", "sort_key": "name"}'],
            "log": [b"\x1b[31msize mismatch for a: \r\n", *(one.sample.encode() for one in load_signatures()[::3])],
        }  # fmt: skip
        return found[target]
