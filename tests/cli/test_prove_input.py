"""What `prove` and `verify` do with inputs that are none: one error, exit status 2, and nothing is built for it."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from envpin.cli.main import main
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.places import DATA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`base`, `adapter` and `merged` that fit, and a store without any environment."""
    write_model(tmp_path / "base", llama_shapes())
    write_model(tmp_path / "merged", llama_shapes())
    write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()), base="base")
    monkeypatch.setenv("ENVPIN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config_with(**values: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / "adapter" / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def written(name: str, data: bytes) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / name).write_bytes(data)

    return change


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda root: os.truncate(root / name, size)


def gone(name: str) -> Callable[[Path], None]:
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def a_pipe(root: Path) -> None:
    (root / "merged" / "model.safetensors").unlink()
    os.mkfifo(root / "merged" / "model.safetensors")


def a_pickle(root: Path) -> None:
    shutil.copy(DATA / "wild" / "autotrain" / "training_args.bin", root / "merged" / "pytorch_model.bin")
    (root / "merged" / "model.safetensors").unlink()


def an_index_that_leads_out(root: Path) -> None:
    (root / "merged" / "model.safetensors").unlink()
    index = {"weight_map": dict.fromkeys(llama_shapes(), "../base/model.safetensors")}
    (root / "merged" / "model.safetensors.index.json").write_text(json.dumps(index))


MERGED, TRAINED, CONFIG = "merged/model.safetensors", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"
BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "no merged model": (gone("merged"), "merged` does not exist"),
    "no base": (gone("base"), "base` does not exist"),
    "no adapter": (gone("adapter"), "adapter` does not exist"),
    "no weights in the merged folder": (gone(MERGED), "merged` holds no weights"),
    "no weights in the adapter": (gone(TRAINED), "adapter` holds no weights"),
    "no adapter_config.json": (gone(CONFIG), "adapter"),
    "a truncated merged model": (cut(MERGED, 5000), "merged` cannot be read"),
    "a truncated adapter": (cut(TRAINED, 900), "adapter` cannot be read"),
    "an empty merged model": (cut(MERGED, 0), "merged` cannot be read"),
    "a header of 8 EB": (written(MERGED, b"\xff" * 7 + b"\x7f" + b"{}"), "merged` cannot be read"),
    "a header that nests without end": (written(MERGED, (9000).to_bytes(8, "little") + b"[" * 9000), "merged`"),
    "HTML for weights": (written(TRAINED, b"<!DOCTYPE html><html>login</html>"), "adapter` cannot be read"),
    "a pipe for weights": (a_pipe, "merged`"),
    "a pickle": (a_pickle, "pytorch_model.bin"),
    "an index that leads out of the folder": (an_index_that_leads_out, "merged`"),
    "a config that is no JSON": (written(CONFIG, b"{"), "adapter_config.json"),
    "a config that is a list": (written(CONFIG, b"[]"), "adapter_config.json"),
    "alpha NaN": (config_with(lora_alpha=float("nan")), "lora_alpha: nan is not a finite number"),
    "alpha Infinity": (config_with(lora_alpha=float("inf")), "lora_alpha: inf is not a finite number"),
    "alpha a string": (config_with(lora_alpha="16"), "lora_alpha: '16' is not a finite number"),
    "alpha a boolean": (config_with(lora_alpha=True), "lora_alpha: True is not a finite number"),
    "rank a list": (config_with(r=[8]), "r: [8] is not a finite number"),
    "a pattern that is a list": (config_with(alpha_pattern=[1]), "alpha_pattern: [1] is not an object"),
    "a pattern of NaN": (config_with(rank_pattern={"q_proj": float("nan")}), "rank_pattern.q_proj: nan"),
    "rslora a string": (config_with(use_rslora="yes"), "use_rslora: 'yes' is not a boolean"),
    "peft_type a list": (config_with(peft_type=["LORA"]), "peft_type: ['LORA'] is not a string"),
}


@pytest.mark.parametrize("name", BAD)
def test_prove_answers_bad_input_with_one_error_and_2(
    name: str, folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = BAD[name]
    change(folders)
    status = main(["prove", "base", "adapter", "merged"])
    said = capsys.readouterr()
    assert (status, said.out) == (2, ""), said.err
    assert said.err.count("error: ") == 1
    assert words in said.err
    assert not (folders / "home" / "environments").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("base", "adapter", "base"), "are one folder"),
        (("adapter", "adapter", "merged"), "is an adapter, not a base"),
        (("base", "adapter", "adapter"), "is an adapter, not a merged model"),
        (("base", "merged", "adapter"), "merged"),
        (("user/base", "adapter", "merged"), "a proof reads every byte of it"),
    ],
)
def test_prove_names_folders_in_the_wrong_place(
    words: tuple[str, ...], said: str, folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prove", *words]) == 2
    printed = capsys.readouterr().err
    assert printed.count("error: ") == 1
    assert said in printed


def test_prove_prints_an_escape_sequence_of_a_stranger_as_text(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config_with(lora_alpha="\x1b[2J\x1b]0;x\x07")(folders)
    assert main(["prove", "base", "adapter", "merged"]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "sarif", "github", "junit"])
def test_bad_input_is_2_in_every_format(form: str, folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone("merged")(folders)
    assert main(["prove", "base", "adapter", "merged", "--format", form]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_bad_input_is_a_document_with_format_json(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_with(lora_alpha=float("nan"))(folders)
    assert main(["prove", "base", "adapter", "merged", "--format", "json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], error["exit_code"]) == ("input", 2)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "has no envpin-merge.json"),
        (b"", "is not the record of a merge"),
        (b'{"schema": 1', "is not the record of a merge"),
        (b"[]", "is not the record of a merge"),
        (b'{"schema": 999}', "has schema 999"),
        (b'{"schema": 1}', "is not the record of a merge"),
        (b'{"a":' * 100_000, "is not the record of a merge"),
    ],
)
def test_verify_answers_bad_input_with_one_error_and_2(
    data: bytes | None, words: str, folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if data is not None:
        (folders / "merged" / "envpin-merge.json").write_bytes(data)
    assert main(["verify", "merged"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("error: ") == 1
    assert words in printed


@pytest.mark.parametrize("order", [("adapter", "base", "merged"), ("base", "merged", "adapter")])
def test_folders_in_another_order_get_the_right_one(
    folders: Path, capsys: pytest.CaptureFixture[str], order: tuple[str, str, str]
) -> None:
    assert folders.is_dir()
    assert main(["prove", *order]) == 2
    said = capsys.readouterr().err
    assert said.endswith(
        f"`{order[1]}` holds no adapter, but a model\n\nhint: envpin prove BASE ADAPTER MERGED, in this order\n"
    )
