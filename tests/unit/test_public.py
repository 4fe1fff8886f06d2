"""The public API: what it names exists and is lazy, and the examples of its page hold."""

from __future__ import annotations

import doctest
import inspect
from typing import TYPE_CHECKING

import pytest

import envpin
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.places import ROOT, SOURCE

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = ROOT / "docs" / "how-to" / "from-python.md"
PAGE = ROOT / "docs" / "reference" / "python-api.md"


def test_the_examples_of_the_page_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "base", llama_shapes())
    grown = llama_shapes(vocab=321)
    factors = lora_shapes(llama_shapes())
    embedding = "base_model.model.model.embed_tokens.weight"
    write_adapter(tmp_path / "adapter", {**factors, embedding: grown["model.embed_tokens.weight"]}, base="base")
    write_adapter(tmp_path / "alone", factors, base="someone/nowhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    result = doctest.testfile(str(EXAMPLES), module_relative=False, encoding="utf-8")
    assert result.attempted > 5
    assert not result.failed


@pytest.mark.parametrize("name", [name for name in envpin.__all__ if name != "__version__"])
def test_each_public_name_exists_is_typed_documented_and_on_the_page(name: str) -> None:
    found = getattr(envpin, name)
    assert found.__doc__
    assert f"## `{name}`" in PAGE.read_text(encoding="utf-8")
    if inspect.isfunction(found):
        assert "return" in found.__annotations__
        assert f"envpin.{name}(" in PAGE.read_text(encoding="utf-8")


def test_no_public_name_is_a_module_whose_import_would_replace_it() -> None:
    assert [name for name in envpin.__all__ if (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file()] == []


def test_a_private_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="merge_everything"):
        _ = envpin.merge_everything
    assert dir(envpin) == sorted(envpin.__all__)
