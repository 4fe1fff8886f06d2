"""Bad input to `prove`: one clear error for each, before any environment is looked for."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from envpin.core.errors import InputError
from envpin.proof.inputs import open_inputs
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model, write_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WEIGHTS = "model.safetensors"
FACTORS = "adapter_model.safetensors"


@pytest.fixture
def three(tmp_path: Path) -> Path:
    shapes = llama_shapes()
    write_model(tmp_path / "base", shapes)
    write_model(tmp_path / "merged", shapes)
    write_adapter(tmp_path / "adapter", lora_shapes(shapes))
    return tmp_path


def opened(three: Path) -> None:
    open_inputs(three / "base", three / "adapter", three / "merged")


def config(**values: Any) -> Callable[[Path], None]:
    def change(three: Path) -> None:
        path = three / "adapter" / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def instead(name: str, text: str) -> Callable[[Path], None]:
    """A file in place of a folder."""

    def change(three: Path) -> None:
        shutil.rmtree(three / name)
        (three / name).write_text(text)

    return change


def emptied(name: str) -> Callable[[Path], None]:
    def change(three: Path) -> None:
        shutil.rmtree(three / name)
        (three / name).mkdir()

    return change


def cut(name: str, size: int = 100) -> Callable[[Path], None]:
    def change(three: Path) -> None:
        data = (three / name).read_bytes()
        (three / name).write_bytes(data[: len(data) - size])

    return change


def written(name: str, text: str) -> Callable[[Path], None]:
    def change(three: Path) -> None:
        (three / name).write_text(text)

    return change


def removed(name: str) -> Callable[[Path], None]:
    return lambda three: (three / name).unlink()


def index(weight_map: dict[str, str]) -> Callable[[Path], None]:
    def change(three: Path) -> None:
        (three / "merged" / WEIGHTS).unlink()
        text = json.dumps({"metadata": {}, "weight_map": weight_map})
        (three / "merged" / f"{WEIGHTS}.index.json").write_text(text)

    return change


def swapped(three: Path) -> None:
    (three / "base").rename(three / "aside")
    (three / "adapter").rename(three / "base")
    (three / "aside").rename(three / "adapter")


def adapter_as(name: str) -> Callable[[Path], None]:
    def change(three: Path) -> None:
        shutil.rmtree(three / name)
        shutil.copytree(three / "adapter", three / name)

    return change


def one_folder(three: Path) -> None:
    shutil.rmtree(three / "merged")
    (three / "merged").symlink_to(three / "base")


def hostile(three: Path) -> None:
    """A header that asks for more than the file has."""
    (three / "merged" / WEIGHTS).write_bytes((2**62).to_bytes(8, "little") + b"{}")


def pickled(three: Path) -> None:
    (three / "adapter" / FACTORS).unlink()
    (three / "adapter" / "adapter_model.bin").write_bytes(b"\x80\x02}q\x00.")


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a missing folder": (lambda three: shutil.rmtree(three / "merged"), "does not exist"),
    "an empty folder": (emptied("base"), "holds neither a model nor an adapter"),
    "a file in place of a folder": (instead("merged", "x"), "is a file, not a folder"),
    "an adapter as base": (adapter_as("base"), "is an adapter, not a base"),
    "an adapter as merged model": (adapter_as("merged"), "is an adapter, not a merged model"),
    "base and adapter exchanged": (swapped, "no adapter"),
    "base and merged in one folder": (one_folder, "are one folder"),
    "no adapter_config.json": (removed("adapter/adapter_config.json"), "adapter"),
    "an adapter_config.json that is a list": (written("adapter/adapter_config.json", "[]"), "adapter_config.json"),
    "an adapter_config.json that is cut": (cut("adapter/adapter_config.json", 5), "adapter_config.json"),
    "lora_alpha is NaN": (config(lora_alpha=float("nan")), "lora_alpha: nan is not a finite number"),
    "lora_alpha is infinite": (config(lora_alpha=float("inf")), "lora_alpha: inf is not a finite number"),
    "lora_alpha is a string": (config(lora_alpha="16"), "lora_alpha: '16' is not a finite number"),
    "r is a boolean": (config(r=True), "r: True is not a finite number"),
    "alpha_pattern is a list": (config(alpha_pattern=[1]), "alpha_pattern: [1] is not an object"),
    "alpha_pattern holds NaN": (config(alpha_pattern={"q": float("nan")}), "alpha_pattern.q: nan"),
    "use_dora is a string": (config(use_dora="yes"), "use_dora: 'yes' is not a boolean"),
    "peft_type is a number": (config(peft_type=3), "peft_type: 3 is not a string"),
    "adapter weights that are missing": (removed(f"adapter/{FACTORS}"), "holds no weights"),
    "adapter weights that are a pickle": (pickled, "cannot be read"),
    "a truncated adapter": (cut(f"adapter/{FACTORS}"), FACTORS),
    "a truncated merged model": (cut(f"merged/{WEIGHTS}"), WEIGHTS),
    "weights that are text": (written(f"merged/{WEIGHTS}", "<html>404</html>"), WEIGHTS),
    "a header that lies about its length": (hostile, WEIGHTS),
    "an index that leads out of the folder": (index({"model.norm.weight": "../base/model.safetensors"}), "index"),
    "an index that names a missing shard": (index({"model.norm.weight": "model-1.safetensors"}), "model-1"),
}


def test_three_readable_folders_are_opened(three: Path) -> None:
    found = open_inputs(three / "base", three / "adapter", three / "merged").request()
    assert found.base.files == (WEIGHTS,)
    assert found.adapter.files == (FACTORS,)
    assert not found.base_is_tied
    assert found.quantized is None


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_is_one_clear_error(three: Path, name: str) -> None:
    change, words = BAD[name]
    change(three)
    with pytest.raises(InputError) as caught:
        opened(three)
    assert words in caught.value.message
    assert caught.value.exit_code == 2


def test_a_missing_head_means_that_the_tables_are_tied(three: Path) -> None:
    write_safetensors(three / "merged" / WEIGHTS, llama_shapes(tied=True))
    path = three / "merged" / "config.json"
    document = json.loads(path.read_text())
    document.pop("tie_word_embeddings", None)
    path.write_text(json.dumps(document))
    assert open_inputs(three / "base", three / "adapter", three / "merged").request().merged_is_tied


def test_tables_that_grew_are_said_to_the_worker(three: Path) -> None:
    prefix = "base_model.model."
    shapes = {**lora_shapes(llama_shapes()), f"{prefix}model.embed_tokens.weight": (328, 64)}
    write_safetensors(three / "adapter" / FACTORS, shapes)
    found = open_inputs(three / "base", three / "adapter", three / "merged").request().embedding
    assert (found.action, found.rows) == ("grow", 328)
