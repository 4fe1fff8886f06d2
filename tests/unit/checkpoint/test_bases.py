"""Which folder is the base of an adapter, of all that could be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpin.checkpoint.bases import find_base
from envpin.checkpoint.checkpoint import Checkpoint, open_checkpoint
from envpin.core.errors import InputError, NetworkError
from tests.support.checkpoints import llama_config, llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.core.place import RemotePlace


def test_the_base_is_found_where_adapters_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    base = write_model(tmp_path / "models" / "tiny", llama_shapes())
    shapes = lora_shapes(llama_shapes())
    for named in (str(base), "models/tiny", "../models/tiny", "/gone/elsewhere/tiny", "C:\\models\\tiny"):
        adapter = open_checkpoint(write_adapter(tmp_path / "models" / "adapter", shapes, base=named))
        assert find_base(adapter).path == base


def test_the_hub_cache_holds_to_a_recorded_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    root = tmp_path / "hub" / "models--org--tiny"
    snapshot = write_model(root / "snapshots" / ("a" * 40), llama_shapes(), llama_config())
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("a" * 40)
    adapter = open_checkpoint(write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()), base="org/tiny"))
    found = find_base(adapter)
    assert (found.path, found.id, found.commit) == (snapshot, "org/tiny", "a" * 40)
    with pytest.raises(InputError) as refused:
        find_base(adapter, commit="b" * 40)
    assert any("a" * 40 in line for line in refused.value.problems)
    assert refused.value.hint is not None
    assert "--base" in refused.value.hint


def test_relative_base_near_the_adapter_wins_over_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "here" / "base", llama_shapes())
    near = write_model(tmp_path / "run" / "base", llama_shapes())
    adapter = open_checkpoint(write_adapter(tmp_path / "run" / "adapter", lora_shapes(llama_shapes()), base="base"))
    monkeypatch.chdir(tmp_path / "here")
    found = find_base(adapter)
    assert found.path == near
    assert str(near.parent) in found.found
    near.rename(tmp_path / "run" / "elsewhere")
    found = find_base(adapter)
    assert found.path == tmp_path / "here" / "base"
    assert found.found == "named by the adapter, in the current directory"


def test_base_that_does_not_fit_yields_to_one_that_does(tmp_path: Path) -> None:
    wide = write_model(tmp_path / "run" / "base", llama_shapes(hidden=128))
    right = write_model(tmp_path / "base", llama_shapes())
    adapter = open_checkpoint(write_adapter(tmp_path / "run" / "adapter", lora_shapes(llama_shapes()), base="base"))
    assert find_base(adapter).path == wide

    def misfit(base: Checkpoint) -> str | None:
        return "too wide" if base.embedding is not None and base.embedding.shape[1] == 128 else None

    found = find_base(adapter, misfit=misfit)
    assert found.path == right
    assert len(found.passed_over) == 1
    assert str(wide) in found.passed_over[0]
    assert "too wide" in found.passed_over[0]
    assert find_base(adapter, misfit=lambda _: "nothing fits").path == wide
    assert find_base(adapter, explicit=wide, misfit=misfit).path == wide


def test_local_folder_does_not_pass_for_the_recorded_commit(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", llama_shapes())
    adapter = open_checkpoint(write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()), base="org/base"))
    found = find_base(adapter, recorded_path=str(base), recorded_id="org/base", commit="a" * 40)
    assert (found.path, found.id, found.commit) == (base, "org/base", None)


@pytest.mark.parametrize(
    ("name", "says"), [("empty", "holds no model"), ("notes.txt", "is a file"), ("adapter", "holds no model")]
)
def test_what_is_here_under_a_given_name_is_never_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    adapter = open_checkpoint(write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes())))
    with pytest.raises(InputError) as refused:
        find_base(adapter, explicit=name, open_remote=_unasked)
    assert refused.value.problems == (f"given: `{name}` {says}",)


def test_a_single_word_that_is_nowhere_is_said_to_be_no_folder_either(tmp_path: Path) -> None:
    def offline(_id: str, _revision: str | None, /) -> RemotePlace:
        raise NetworkError("the Hub cannot be reached")

    adapter = open_checkpoint(write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes())))
    with pytest.raises(NetworkError) as failed:
        find_base(adapter, explicit="bose", open_remote=offline)
    assert failed.value.message == "the Hub cannot be reached; and `bose` is no folder here"


def _unasked(_id: str, _revision: str | None, /) -> RemotePlace:
    raise AssertionError("the Hub was asked")


def test_an_adapter_is_never_its_own_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_model(tmp_path / "adapter", llama_shapes())
    adapter = open_checkpoint(write_adapter(folder, lora_shapes(llama_shapes()), base="adapter"))
    with pytest.raises(InputError) as refused:
        find_base(adapter)
    assert any(line.endswith("`adapter` is the adapter itself") for line in refused.value.problems)


@pytest.mark.parametrize(("given", "revision"), [("org/base", "a" * 40), ("org/other", None), ("org/base@v2", "v2")])
def test_the_recorded_commit_is_that_of_the_recorded_base_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, revision: str | None
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    asked: list[tuple[str, str | None]] = []

    def remote(name: str, wanted: str | None, /) -> RemotePlace:
        asked.append((name, wanted))
        raise NetworkError("asked")

    adapter = open_checkpoint(write_adapter(tmp_path / "adapter", lora_shapes(llama_shapes()), base="org/base"))
    with pytest.raises(NetworkError):
        find_base(adapter, explicit=given, recorded_id="org/base", commit="a" * 40, open_remote=remote)
    assert asked == [(given.partition("@")[0], revision)]
