"""What the fuzzers feed with bytes: each target writes them to the file that they stand for, and checks its folder."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from envpin.bisect.session.history import read_records
from envpin.bundle.archive import BundleMember, read_archive, write_archive
from envpin.bundle.contents import DESCRIPTION as BUNDLE_DESCRIPTION
from envpin.bundle.contents import LOCK as BUNDLE_LOCK
from envpin.bundle.unpack import verify_bundle
from envpin.core import json_input
from envpin.core.errors import EnvpinError, InputError, RefusedError
from envpin.core.journal import read_journal
from envpin.diagnose.check import check
from envpin.diagnose.logs.reader import diagnose_log
from envpin.diagnose.logs.signatures.signature import load_signatures
from envpin.envs.locks.lock import read_lock
from envpin.evidence.stack.metadata import read_source, windows_of
from envpin.inference.infer import judge
from envpin.inference.observe import observe
from envpin.inference.trainers import recognise
from envpin.inference.versions import known_releases
from envpin.manifest.read import parse_manifest
from envpin.manifest.trace import read_trace
from envpin.matrix.load import load_matrix
from envpin.matrix.results import read_document
from envpin.matrix.support import load_support
from envpin.recording.injected import hook
from envpin.remote.index.types import parse_releases
from envpin.replay.reverify import read_record, reverify
from envpin.replay.training.judge import RunRecord
from envpin.replay.training.judge import judge as judge_training
from envpin.report.card import manifest_part, merge_part, update_card
from envpin.report.diff_page import render_diff
from envpin.report.held import hold
from envpin.report.manifest_page import render_manifest
from envpin.report.merge_page import render_merge
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

PLAIN_MANIFEST = json.dumps(
    {
        "schema": 1, "distributions": [{"name": "peft", "version": "0.12.0"}], "python": {"version": "3.11.9"},
        "base": {"id": "a/b", "commit": "0" * 40, "embedding_rows": 300, "files": {"model.safetensors": "0" * 64}},
        "run": {"argv": ["python", "train.py"], "started": "2026-01-01T00:00:00Z", "seeds": {"python": 1},
                "git": {"commit": "0" * 40, "root": "/x", "dirty": False}},
        "saved": {"kind": "adapter", "files": {"adapter_model.safetensors": "0" * 64},
                  "tensors": [{"name": "a", "shape": [2, 3], "dtype": "F32"}]},
        "training": {"output": "/x/out", "steps": 2, "arguments": {"seed": 1}, "kernels": {"threads": 1},
                     "optimizer": {"name": "AdamW"}, "final": {"digest": "0", "count": 1, "tensors": {"a": "0"}}},
    }
).encode()  # fmt: skip
TRACE = (
    b'{"trace": 1, "run": "a", "first": 1, "world_size": 1, "initial": {"adapter": {"digest": "0", "tensors": {}}}}\n'
    b'{"step": 1, "loss": 0.5, "lr": 0.1, "grad_norm": 1.0, "batch": {"digest": "0", "shapes": [[1, 2]]}}\n'
    b'{"log": {"loss": 0.5}}\n{"step": 2, "loss": "nan"}\n{"end": {"step": 2, "adapter": {"digest": "1"}}}\n'
)
BUNDLE = json.dumps(
    {
        "schema": 1, "envpin": "0.1", "name": "x", "platform": "linux-x86_64", "python": "3.11",
        "lock_sha256": "0" * 64, "with_base": False, "with_python": False,
        "companions": {"tokenizer": ["tokenizer.json"]}, "gates": {"a": 0.1},
        "merge": {"request": {}, "answers": {}, "base": {"a": "0"}, "adapter": {"a": "0"}}, "wheels": ["x.whl"],
    }
)  # fmt: skip
RELEASE = (
    b"Metadata-Version: 2.1\nName: x\nRequires-Python: >=3.9\nRequires-Dist: torch (>=2.0)\n"
    b"Requires-Dist: peft>=0.5; extra == 'x' and python_version < '3.9'\n"
)
COMPARISON = (
    b'{"schema": 1, "before": "a", "after": "b", "changes": [{"section": "config", "what": "r", "before": "8", '
    b'"after": "16", "note": ""}, {"section": "x", "what": "y"}]}'
)


class Files:
    """A healthy base and adapter; a target changes one file of one of them."""

    def __init__(self, root: Path) -> None:
        self.judged = 0
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


def _read_alone(
    name: str, *reads: Callable[[Path], object], answers: tuple[type[EnvpinError], ...] = (InputError,)
) -> Callable[[Files, bytes], object]:
    """The target of a file that stands by itself; `answers` are errors with which a reader may refuse it."""

    def target(files: Files, data: bytes) -> None:
        path = files.base.parent / name
        path.write_bytes(data)
        for read in reads:
            with contextlib.suppress(*answers):
                read(path)

    return target


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


def _merge_record(files: Files, data: bytes) -> None:
    (files.shards / "envpin-merge.json").write_bytes(data)
    with contextlib.suppress(InputError):
        reverify(files.shards)


def _page(files: Files, data: bytes) -> None:
    del files
    with contextlib.suppress(json_input.BadJsonError, InputError):
        page = json_input.parse(data, remarks=[])
        if isinstance(page, dict) and isinstance(page.get("files"), list):
            parse_releases(page, "peft", base="https://index.test/simple/peft/")


def _traces(files: Files, data: bytes) -> None:
    """What training leaves next to an adapter, as `infer` reads it. Judging takes long, and reads nothing."""
    names = ("training_args.bin", "trainer_state.json", "requirements.txt", "README.md", "config.yaml", "run.ipynb",
             "pyproject.toml", "environment.yml")  # fmt: skip
    for name in names:
        (files.plain / name).write_bytes(data)
    with contextlib.suppress(EnvpinError):
        observed = observe(files.plain)
        recognise(observed.traces)
        files.judged += 1
        if files.judged % 50 == 1:
            matrix, support = load_matrix(), load_support()
            judge(observed, known_releases(), support, matrix)
    for name in names:
        (files.plain / name).unlink()


def _redaction(files: Files, data: bytes) -> None:
    """Arguments, variables and configs of a run, which may be another's."""
    del files
    words = data.decode("utf-8", "replace").split("\0")
    cleaned = hook("redaction").arguments(words)
    assert len(cleaned) == len(words)
    hook("redaction").document({"config": words, words[0]: words[-1]})


def _page_of_manifest(files: Files, data: bytes) -> None:
    """What `report` and `card` say of a recorded run, and `replay train` of two."""
    with contextlib.suppress(InputError):
        manifest = parse_manifest(data)
        render_manifest(manifest, place="x", held=hold(manifest, files.plain))
        update_card(None, manifest_part(manifest, name="x"))
        own = RunRecord(manifest=manifest)
        other = RunRecord(manifest=parse_manifest(PLAIN_MANIFEST))
        judge_training(own, other, again=own)
        judge_training(other, own)


def _page_of_merge(files: Files, data: bytes) -> None:
    (files.shards / "envpin-merge.json").write_bytes(data)
    with contextlib.suppress(InputError):
        record = read_record(files.shards)
        render_merge(record, place="x", names=["a"])
        update_card(None, merge_part(record, name="x"))


def _comparison(files: Files, data: bytes) -> None:
    del files
    with contextlib.suppress(InputError):
        render_diff(data, path="x")


def _card(files: Files, data: bytes) -> None:
    del files
    with contextlib.suppress(InputError):
        update_card(data.decode("utf-8", "replace"), manifest_part(parse_manifest(PLAIN_MANIFEST), name="x"))


def _trace(files: Files, data: bytes) -> None:
    (files.plain / "envpin-trace.jsonl").write_bytes(data)
    with contextlib.suppress(InputError):
        manifest, trace = parse_manifest(PLAIN_MANIFEST), read_trace(files.plain)
        own = RunRecord(manifest=manifest, trace=trace)
        judge_training(own, RunRecord(manifest=manifest), again=own)
        judge_training(own, own)
    (files.plain / "envpin-trace.jsonl").unlink()


def _bundle_description(files: Files, data: bytes) -> None:
    """A whole bundle of a stranger's, whose digests fit."""
    path = files.base.parent / "y.bundle"
    members = [BundleMember(name=name, content=content) for name, content in
               {"restore.sh": b"x", BUNDLE_DESCRIPTION: data, BUNDLE_LOCK: PLAIN_LOCK}.items()]  # fmt: skip
    write_archive(path, members, progress=lambda _count: None)
    with contextlib.suppress(InputError, RefusedError):
        verify_bundle(path)


def _release(files: Files, data: bytes) -> None:
    """What an index has of a release: metadata, or a source distribution."""
    del files
    windows_of(data)
    with contextlib.suppress(InputError):
        _ = read_source("x.tar.gz", data, re.compile(".*")).windows


TARGETS: dict[str, Callable[[Files, bytes], object]] = {
    "header": _header, "weights": _weights, "index": _index, "config": _config, "adapter_config": _adapter_config,
    "manifest": _manifest, "tokenizer": _tokenizer, "sentencepiece": _sentencepiece, "pickle": _pickle,
    "archive": _archive, "log": _log, "merge_record": _merge_record, "page": _page, "traces": _traces,
    "redaction": _redaction, "page_of_manifest": _page_of_manifest, "page_of_merge": _page_of_merge,
    "comparison": _comparison, "card": _card, "trace": _trace, "bundle_description": _bundle_description,
    "release": _release,
    "lock": _read_alone("pylock.fuzzed.toml", lambda path: read_lock(path).digest),
    "search_log": _read_alone("log.jsonl", read_records),
    "evidence": _read_alone("evidence.json", read_document),
    "matrix": _read_alone("families.toml", load_matrix),
    "journal": _read_alone("journal.jsonl", read_journal),
    "bundle": _read_alone("x.bundle", read_archive, verify_bundle, answers=(InputError, RefusedError)),
}  # fmt: skip


def _source() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        listed = b"torch\n[a:python_version<'3']\npeft>=1\n"
        for name, text in {"PKG-INFO": b"Name: x\n", "x.egg-info/requires.txt": listed}.items():
            info = tarfile.TarInfo(f"x-1/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return data.getvalue()


def _bundle_bytes(folder: Path) -> bytes:
    contents = {"restore.sh": b"x", BUNDLE_DESCRIPTION: BUNDLE.encode(), BUNDLE_LOCK: PLAIN_LOCK}
    write_archive(folder / "z", [BundleMember(name=name, content=one) for name, one in contents.items()],
                  progress=lambda _count: None)  # fmt: skip
    return (folder / "z").read_bytes()


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
            "page_of_manifest": [PLAIN_MANIFEST],
            "page_of_merge": [MERGE_RECORD],
            "comparison": [COMPARISON],
            "card": [b"---\nlibrary_name: peft\ntags: [a]\n---\n# x\n<!-- envpin: begin -->\nx\n<!-- envpin: end -->\n",
                     b"# x\r\n", b"---\nbase_model: a/b\n...: {a: &x [*x]}\n---\n"],
            "trace": [TRACE],
            "journal": [SEARCH_LOG],
            "bundle": [_bundle_bytes(Path(folder))],
            "bundle_description": [BUNDLE.encode()],
            "release": [RELEASE, _source()],
            "log": [b"\x1b[31msize mismatch for a: \r\n", *(one.sample.encode() for one in load_signatures()[::3])],
        }  # fmt: skip
        return found[target]
