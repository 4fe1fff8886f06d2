"""Which Python a run had, by what trackers and lists next to the adapter say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from envpin.inference.infer import infer
from envpin.inference.pythons import has_torch, series_of

if TYPE_CHECKING:
    from pathlib import Path

WANDB = "wandb/run-20240902_101112-b2/files/wandb-metadata.json"
WANDB_CONFIG = "wandb/run-20240902_101112-b2/files/config.yaml"
MLFLOW = "python: 3.10.14\nbuild_dependencies:\n- pip\n"
CONDA = "channels:\n- conda-forge\ndependencies:\n- python=3.10.14\n- pip<=24.0\n- pip:\n  - peft==0.12.0\n"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "base_model_name_or_path": "meta-llama/Llama-2-7b"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "README.md").write_text("### Framework versions\n\n- PEFT 0.12.0\n- Transformers 4.44.2\n")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text", "python", "strength"),
    [
        (WANDB, '{"python": "3.10.14"}', "3.10", "strong"),
        (WANDB, '{"python": "CPython 3.12.4"}', "3.12", "strong"),
        (WANDB_CONFIG, "_wandb:\n  value:\n    python_version: 3.10.14\n", "3.10", "strong"),
        ("MLmodel", "flavors:\n  python_function:\n    python_version: 3.10.14\n", "3.10", "strong"),
        ("environment.yml", CONDA, "3.10", "weak"),
        (".python-version", "3.12\n", "3.12", "weak"),
        ("runtime.txt", "python-3.10.14\n", "3.10", "weak"),
        (".tool-versions", "nodejs 20.1.0\npython 3.10.14\n", "3.10", "weak"),
        ("Dockerfile", "FROM docker.io/library/python:3.10-slim\nRUN pip install peft==0.12.0\n", "3.10", "weak"),
        ("Pipfile.lock", '{"_meta": {"requires": {"python_version": "3.10"}}, "default": {}}', "3.10", "weak"),
        ("tune.ipynb", '{"cells": [], "metadata": {"language_info": {"name": "python", "version": "3.10.12"}}}', "3.10",
         "weak"),
    ],
)  # fmt: skip
def test_infer_proposes_the_python_that_a_file_names(
    adapter: Path, file: str, text: str, python: str, strength: str
) -> None:
    (adapter / file).parent.mkdir(parents=True, exist_ok=True)
    (adapter / file).write_text(text)
    found = infer(adapter)
    (signal,) = (one for one in found.signals if one.package == "python")
    assert (signal.file, signal.strength) == (file, strength)
    assert found.candidates[0].python == python


@pytest.mark.parametrize(("file", "text"), [("python_env.yaml", MLFLOW), ("conda.yaml", CONDA)])
def test_the_environment_files_of_mlflow_name_the_python_of_the_run(adapter: Path, file: str, text: str) -> None:
    (adapter / "MLmodel").write_text("flavors:\n  peft: {}\n")
    (adapter / file).write_text(text)
    found = infer(adapter)
    assert [(one.file, one.strength) for one in found.signals if one.package == "python"] == [(file, "strong")]
    assert found.candidates[0].python == "3.10"


def test_without_a_file_that_names_one_the_python_is_of_the_day(adapter: Path) -> None:
    found = infer(adapter)
    assert "python" not in found.ranges
    assert found.candidates[0].python == "3.11"


def test_a_python_without_wheels_of_a_stated_torch_is_not_proposed(adapter: Path) -> None:
    (adapter / "README.md").write_text("- PEFT 0.12.0\n- Transformers 4.44.2\n- Pytorch 2.4.1+cu121\n")
    (adapter / ".python-version").write_text("3.13")
    found = infer(adapter)
    assert (found.candidates[0].pins["torch"], found.candidates[0].python) == ("2.4.1", "3.11")


def test_a_torch_that_is_not_stated_has_wheels_for_the_python(adapter: Path) -> None:
    (adapter / ".python-version").write_text("3.13")
    first = infer(adapter).candidates[0]
    assert first.python == "3.13"
    assert has_torch("3.13", first.pins["torch"])


@pytest.mark.parametrize("text", ["PyPy 3.10.14", "system", "2.7.18", "3", "", "3.11.9 3.12.1", "python-3.x"])
def test_what_names_no_one_python_says_nothing(text: str) -> None:
    assert series_of(text) is None
