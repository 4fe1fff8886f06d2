"""`envpin matrix list|show|resolve` as a person reads them: at any width, on bad input, as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.command import answer, arguments, envpin, variables
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path


def test_on_a_terminal_it_fits() -> None:
    for words in (("list",), ("resolve", "Qwen/Qwen2.5-7B")):
        with Terminal(arguments("matrix", *words), env=variables({"COLUMNS": "100"})) as terminal:
            terminal.expect({"list": "whisper", "resolve": "envpin env create"}[words[0]])
            assert max(map(len, terminal.screen.splitlines())) <= 100


def test_without_a_terminal_nothing_is_broken_or_cut() -> None:
    listed = envpin("matrix", "list", env={"COLUMNS": "80"}).stdout
    assert "Llama architecture (Llama 1 and its many relatives)" in listed
    assert "…" not in listed


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("show", "lama3.1"), 2, "did you mean llama3.1"), (("show", ""), 2, "argument 2 of `envpin` is empty"),
        (("list", "--grade", "best"), 2, "declared, reported"), (("resolve", ""), 2, "argument 2 of `envpin` is empty"),
        (("resolve", "/nowhere/"), 2, "does not exist"), (("resolve", "nobody/nothing"), 1, ""),
        (("resolve", "."), 2, "holds no config.json"), (("list", "--matrix", "nowhere.toml"), 2, "cannot be read"),
    ],
)  # fmt: skip
def test_bad_input(tmp_path: Path, words: tuple[str, ...], status: int, said: str) -> None:
    completed = envpin("matrix", *words, cwd=tmp_path)
    assert completed.status == status
    assert said in completed.stderr
    assert "Traceback" not in completed.stderr


def test_bad_input_as_json() -> None:
    document = json.loads(envpin("matrix", "show", "lama3.1", "--json").stdout)
    assert "lama3.1" in document["error"]["message"]


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe"])
def test_a_config_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    completed = envpin("matrix", "resolve", tmp_path)
    assert completed.status == 2
    assert "config.json` " in completed.stderr


def test_an_empty_config_is_answered(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    completed = envpin("matrix", "resolve", folder)
    assert completed.status == 1
    assert "the config says no type" in completed.stdout


def test_resolve_of_a_type_that_no_release_knows_names_collect(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "stablelm_epoch"}')
    completed = envpin("matrix", "resolve", tmp_path)
    assert completed.status == 1
    assert "envpin matrix collect" in completed.stdout
    assert "pins" not in completed.stdout


def test_resolve_of_an_adapter_gives_its_recorded_versions_before_its_family(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "base_model_name_or_path": "meta-llama/Llama-3.1-8B"}'
    )
    family = answer("matrix", "resolve", tmp_path)
    assert (family["family"], family["certainty"]) == ("llama3.1", "by name")
    listed = [{"name": "transformers", "version": "4.46.3"}, {"name": "peft", "version": "0.13.2"}]
    (tmp_path / "envpin.json").write_text(json.dumps({"schema": 1, "distributions": listed}))
    recorded = answer("matrix", "resolve", tmp_path)
    assert (recorded["pins_from"], recorded["family"]) == ("recorded", "llama3.1")
    assert recorded["pins"] == {"transformers": "4.46.3", "peft": "0.13.2"}


def test_a_model_type_is_shown_as_well_as_a_family() -> None:
    found = answer("matrix", "show", "codegen")
    assert (found["first_release"], found["last_release"], found["families"]) == ("4.21.0", None, [])
    assert set(found["pins"]) == {"transformers", "peft", "torch"}
    assert answer("matrix", "show", "mllama")["families"] == ["llama3.2-vision"]
    assert "in no release" in envpin("matrix", "show", "chatglm").stdout
    assert answer("matrix", "show", "llama3.1")["known_good"][0]["packages"]["transformers"] == "4.43.1"


def test_a_hub_name_is_for_resolve() -> None:
    assert "hint: envpin matrix resolve Qwen/Qwen2.5-7B" in envpin("matrix", "show", "Qwen/Qwen2.5-7B").stderr


def test_ones_own_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('schema = 1\n[families.ours]\ntitle = "Ours"\nunpinnable = "an example"\n'
                                        '[families.ours.match]\nmodel_type = ["ours"]\n')  # fmt: skip
    (tmp_path / "config.json").write_text('{"model_type": "ours"}')
    env = {"ENVPIN_MATRIX": str(tmp_path / "mine.toml")}
    assert answer("matrix", "resolve", tmp_path / "config.json", env=env)["family"] == "ours"
    assert "mine.toml" in envpin("matrix", "show", "ours", env=env).stdout
    completed = envpin("matrix", "list", env=env)
    assert "1 of them from" in completed.stderr
    assert "ours " in completed.stdout


def test_another_class_of_the_type_is_not_graded_as_run(tmp_path: Path) -> None:
    config = {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"], "mm_vision_tower": "openai/clip"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    completed = envpin("matrix", "resolve", tmp_path / "config.json")
    assert completed.status == 0, completed.stderr
    assert completed.stdout.startswith("LLaVA 1.5  [llava] (by its type alone, see below)")
    assert "merge-verified" not in completed.stdout


def test_a_name_that_is_nothing_gets_the_next_step() -> None:
    completed = envpin("matrix", "resolve", "qwn9")
    assert completed.status == 1
    assert "give its folder or config.json" in completed.stdout
