"""What a path or name means: models, adapters and their bases, manifests, the Hub's cache."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from envpin.core.errors import InputError
from envpin.matrix.subject import find_subject

if TYPE_CHECKING:
    from pathlib import Path

BASE = {"model_type": "llama", "vocab_size": 32000}


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hf" / "hub"


def adapter(tmp_path: Path, base: Any) -> Path:
    folder = tmp_path / "runs" / "adapter"
    write(folder / "adapter_config.json", {"peft_type": "LORA", "base_model_name_or_path": base})
    return folder


def test_a_model_folder_and_its_config_are_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "Llama-2-7b" / "config.json", BASE)
    for text in (str(path), str(path.parent), "Llama-2-7b"):
        found = find_subject(text)
        assert (found.config, found.name) == (BASE, "Llama-2-7b")


def test_the_name_that_the_config_carries_is_better_than_the_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "out" / "config.json", {**BASE, "_name_or_path": "meta-llama/Llama-2-7b-hf"})
    assert find_subject(str(path)).name == "meta-llama/Llama-2-7b-hf"
    write(path, {**BASE, "_name_or_path": "/data/old/place"})
    assert find_subject(str(path)).name == "out"


@pytest.mark.parametrize("written", ["../base", "/data/elsewhere/base", "C:\\models\\base", "base", "runs/base/"])
def test_an_adapter_stands_for_its_base_beside_it(tmp_path: Path, written: str) -> None:
    folder = adapter(tmp_path, written)
    write(tmp_path / "runs" / "base" / "config.json", BASE)
    assert find_subject(str(folder)).config == BASE
    assert find_subject(str(folder / "adapter_config.json")).config == BASE


def test_an_adapter_whose_base_is_told(tmp_path: Path) -> None:
    folder = adapter(tmp_path, "meta-llama/Llama-2-7b-hf")
    told = write(tmp_path / "told" / "config.json", BASE).parent
    found = find_subject(str(folder), base=told)
    assert (found.config, found.name) == (BASE, "meta-llama/Llama-2-7b-hf")
    with pytest.raises(InputError, match="no folder here"):
        find_subject(str(folder), base=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no config\.json"):
        find_subject(str(folder), base=tmp_path)


@pytest.mark.parametrize("base", ["meta-llama/Llama-2-7b-hf", None, 3, "", "..", "/", "x" * 5000, "a\0b"])
def test_an_adapter_without_its_base_keeps_the_name(tmp_path: Path, base: Any) -> None:
    found = find_subject(str(adapter(tmp_path, base)))
    assert found.config is None
    assert found.name == (base if isinstance(base, str) and base else None)


def test_an_adapter_falls_back_on_its_manifest(tmp_path: Path) -> None:
    folder = adapter(tmp_path, "somewhere/else")
    write(folder / "envpin.json", {"schema": 1, "base": {"model_type": "qwen2", "id": "Qwen/Qwen2-7B"}})
    found = find_subject(str(folder))
    assert (found.config, found.name) == ({"model_type": "qwen2"}, "somewhere/else")


def test_the_snapshot_that_main_points_to(tmp_path: Path, hub: Path) -> None:
    model = hub / "models--meta-llama--Llama-2-7b-hf"
    for commit, rows in (("aaa", 1), ("bbb", 2), ("ccc", 3)):
        write(model / "snapshots" / commit / "config.json", {**BASE, "vocab_size": rows})
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("bbb")
    by_name = find_subject("meta-llama/Llama-2-7b-hf")
    by_adapter = find_subject(str(adapter(tmp_path, "meta-llama/Llama-2-7b-hf")))
    assert by_name.config == by_adapter.config == {**BASE, "vocab_size": 2}
    by_path = find_subject(str(model / "snapshots" / "ccc"))
    assert (by_path.config, by_path.name) == ({**BASE, "vocab_size": 3}, "meta-llama/Llama-2-7b-hf")


def test_a_name_is_never_a_way_out_of_the_cache(hub: Path) -> None:
    write(hub.parent / "secret" / "snapshots" / "x" / "config.json", BASE)
    for name in ("../secret", "a/../../secret", "a/b/c"):
        with contextlib.suppress(InputError):
            assert find_subject(name).config is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b'"text"', b"[" * 100_000, b'{"a": 1e999999}x']
)
def test_what_is_not_a_config_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m" / "config.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        find_subject(str(path.parent))
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "  ", "./missing", "/missing/config.json", "missing/", "~/missing", "x.json"])
def test_what_does_not_exist_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        find_subject(text)


@pytest.mark.parametrize("text", ["Qwen/Qwen2-7B", "~nobody-of-that-name/x/y", "x" * 5000, "a\0b", "Ünïcode"])
def test_anything_else_is_a_name_or_an_error_but_no_crash(text: str) -> None:
    with contextlib.suppress(InputError):
        assert find_subject(text).name == text


def test_folders_and_pipes_are_not_configs(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no config\.json"):
        find_subject(str(tmp_path / "empty"))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="a pipe, not a regular file"):
            find_subject(str(tmp_path / "pipe"))


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as stream:
        stream.truncate(17 << 20)
    with pytest.raises(InputError, match="more than the 16,777,216 bytes"):
        find_subject(str(path))
