"""Every file that a command reads, damaged in every way: an answer in words, about that file, and never a traceback."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from envpin.cli.main import main
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LATE = 20  # seconds after which a command waits for what never comes
_TOKENIZER = '{"version":"1.0","model":{"type":"BPE","vocab":{"a":0},"merges":[]},"added_tokens":[]}'
_RUN = "adapter/wandb/run-20240902_101112-b2/files"
# Each file that the commands read, and what a sound one holds. None: the one of the fixture.
FILES: dict[str, str | None] = {
    "adapter/adapter_config.json": None,
    "adapter/adapter_model.safetensors": None,
    "adapter/adapter_model.bin": "x",
    "adapter/non_lora_state_dict.bin": "x",
    "adapter/config.json": '{"model_type": "llama"}',
    "adapter/generation_config.json": '{"do_sample": false}',
    "adapter/tokenizer.json": _TOKENIZER,
    "adapter/tokenizer_config.json": '{"tokenizer_class": "LlamaTokenizer"}',
    "adapter/tokenizer.model": "x",
    "adapter/added_tokens.json": '{"<x>": 1}',
    "adapter/special_tokens_map.json": '{"eos_token": "</s>"}',
    "adapter/envpin.json": '{"schema": 1}',
    "adapter/README.md": "---\nlibrary_name: peft\n---\n### Framework versions\n\n- PEFT 0.12.0\n",
    "adapter/training_args.bin": "x",
    "adapter/trainer_state.json": '{"epoch": 1.0, "log_history": []}',
    "adapter/training_params.json": '{"model": "x"}',
    "adapter/args.json": '{"swift_version": "3.0"}',
    "adapter/axolotl.yml": "base_model: x\ndatasets: []\nsequence_len: 1\n",
    "adapter/requirements.txt": "peft==0.12.0\n",
    "adapter/conda.yaml": "dependencies:\n  - pip:\n    - peft==0.12.0\n",
    "adapter/uv.lock": 'version = 1\n[[package]]\nname = "peft"\nversion = "0.12.0"\n',
    "adapter/poetry.lock": '[[package]]\nname = "peft"\nversion = "0.12.0"\n',
    "adapter/MLmodel": "flavors:\n  transformers:\n    transformers_version: 4.44.2\n",
    "adapter/train.ipynb": '{"cells": [], "nbformat": 4}',
    f"{_RUN}/requirements.txt": "peft==0.12.0\n",
    f"{_RUN}/config.yaml": "_wandb:\n    value:\n        huggingface_version: 4.44.2\n",
    f"{_RUN}/wandb-metadata.json": '{"startedAt": "2024-09-02T10:11:12Z"}',
    "base/config.json": None,
    "base/model.safetensors": None,
    "base/model.safetensors.index.json": '{"weight_map": {}}',
    "base/generation_config.json": '{"do_sample": false}',
    "base/tokenizer.json": _TOKENIZER,
    "base/tokenizer_config.json": "{}",
    "base/envpin-merge.json": '{"schema": 1}',
    "train.log": "RuntimeError: Numpy is not available\n",
}
DAMAGES = ("truncated", "CRLF", "UTF-16", "BOM", "NaN", "empty", "a folder", "a pipe", "a loop of links")
_CHECK, _INFER = ("check", "adapter", "--base", "base"), ("infer", "--offline", "adapter")
_ADAPTER = (_CHECK, _INFER, ("matrix", "resolve", "adapter"), ("record", "--attach", "adapter"), ("scan", "."))
# What every command reads; of the rest of an adapter's folder `infer` reads most, and `scan` by the same readers.
_BY_ALL = {"adapter/adapter_config.json", "adapter/adapter_model.safetensors", "adapter/envpin.json"}
_BY_CHECK = {"adapter/adapter_model.bin", "adapter/non_lora_state_dict.bin"}
# What peft reads as before. A byte order mark and UTF-16 it refuses, as Python's json does.
HARMLESS = ("CRLF", "NaN")


def commands(file: str) -> tuple[tuple[str, ...], ...]:
    if file == "train.log":
        return (("diagnose", "train.log", "--adapter", "adapter"),)
    if file in _BY_ALL:
        return _ADAPTER
    if file.startswith("base/"):
        return (_CHECK, ("matrix", "resolve", file)) if file == "base/config.json" else (_CHECK,)
    return (_CHECK, _INFER) if file in _BY_CHECK or file.endswith((".json", ".model")) else (_INFER,)


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "CRLF":
        path.write_bytes(data.replace(b"\n", b"\r\n"))
    elif how == "UTF-16":
        path.write_bytes(data.decode("latin-1").encode("utf-16"))
    elif how == "BOM":
        path.write_bytes(b"\xef\xbb\xbf" + data)
    elif how == "NaN":
        path.write_bytes(data.replace(b"}", b', "nan": NaN}', 1) if data.startswith(b"{") else b"NaN")
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        if how == "a folder":
            path.mkdir()
        elif how == "a pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(path)


def make(folder: Path, file: str) -> Path:
    shapes = llama_shapes(layers=1)
    write_model(folder / "base", shapes, llama_config(num_hidden_layers=1))
    write_adapter(folder / "adapter", lora_shapes(shapes), base="../base")
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if (text := FILES[file]) is not None:
        path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError("it waits for what never comes")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LATE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def answer(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(list(command))
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_gets_an_answer(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for how in DAMAGES:
        folder = tmp_path / how
        damage(make(folder, file), how)
        monkeypatch.chdir(folder)
        for command in commands(file):
            status, out, err = answer(command, capsys)
            case = f"{file} as {how}: envpin {' '.join(command)}"
            assert status in {0, 1, 2, 5}, case
            assert "Traceback (most" not in out + err, case
            assert "please report" not in err, case
            errors = [line for line in err.splitlines() if line.startswith("error:")]
            assert len(errors) == (1 if status in {2, 5} else 0), case


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_adapter_config_is_named_in_one_line(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(make(tmp_path, "adapter/adapter_config.json"), how)
    monkeypatch.chdir(tmp_path)
    for command in (("check", "adapter", "--base", "base"), ("infer", "--offline", "adapter")):
        status, out, err = answer(command, capsys)
        told = [line for line in (out + err).splitlines() if "adapter_config.json" in line]
        if how in HARMLESS:
            assert status == 0, (command, out, err)
        else:
            assert command[0] == "infer" or status in {1, 2}, (command, out, err)
            assert told, (command, out, err)
