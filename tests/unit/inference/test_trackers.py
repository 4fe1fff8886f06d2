"""What W&B and MLflow leave next to an adapter, each in the shape that its real writer gives it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from envpin.inference.beside import read_beside
from envpin.inference.trackers import mlflow_above, run_days

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> frozenset[str]:
    return frozenset(one.name for one in folder.iterdir())


def read(folder: Path) -> dict[str, tuple[str, str]]:
    return {one.package: (one.version, one.strength) for one in read_beside(folder, names(folder))}


def wandb_run(folder: Path, run: str, config: str = "", metadata: str = "") -> None:
    files = folder / "wandb" / run / "files"
    files.mkdir(parents=True)
    (files / "config.yaml").write_text(config)
    (files / "wandb-metadata.json").write_text(metadata)


# As wandb 0.17 (written by Python) and 0.19 (by its Go core) write the telemetry into config.yaml.
WANDB_OLD = """_wandb:
    desc: null
    value:
        python_version: 3.11.9
        cli_version: 0.17.0
        framework: huggingface
        huggingface_version: 4.44.2
        start_time: 1725271872.0
        t:
            1: [1, 5, 11]
            4: 3.11.9
            5: 0.17.0
            6: 4.44.2
"""
WANDB_NEW = """_wandb:
    value:
        cli_version: 0.19.1
        m: []
        python_version: 3.11.9
        t:
            "1":
                - 1
                - 11
            "4": 3.11.9
            "5": 0.19.1
            "6": 4.44.2
            "8":
                - 5
"""


@pytest.mark.parametrize("config", [WANDB_OLD, WANDB_NEW, WANDB_OLD.replace("\n", "\r\n")])
def test_wandb_tells_the_transformers_of_the_run(tmp_path: Path, config: str) -> None:
    wandb_run(tmp_path, "run-20240902_101112-b2", config)
    assert read(tmp_path) == {"transformers": ("4.44.2", "strong"), "python": ("3.11.9", "strong")}


def test_wandb_tells_when_the_run_began(tmp_path: Path) -> None:
    wandb_run(
        tmp_path, "run-20240902_101112-b2", metadata='{"python": "3.11.9", "startedAt": "2024-09-01T23:11:12.5Z"}'
    )
    found = run_days(tmp_path, names(tmp_path))
    assert found == [
        (dt.date(2024, 9, 1), "wandb/run-20240902_101112-b2/files/wandb-metadata.json"),
        (dt.date(2024, 9, 2), "wandb/run-20240902_101112-b2"),
    ]


# As mlflow.transformers.save_model writes it for a model of peft, whose adapter goes into a folder `peft`.
ML_MODEL = """flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.transformers
    python_version: 3.11.9
  transformers:
    code: null
    components:
    - tokenizer
    framework: pt
    instance_type: TextGenerationPipeline
    peft_adapter: peft
    source_model_name: meta-llama/Llama-3.1-8B
    torch_dtype: torch.bfloat16
    transformers_version: 4.44.2
mlflow_version: 2.16.0
model_uuid: 0f0e0d0c0b0a09080706050403020100
utc_time_created: '2024-09-02 10:11:12.345678'
"""


def test_mlflow_tells_the_transformers_and_the_day(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(ML_MODEL)
    assert read(tmp_path) == {"transformers": ("4.44.2", "strong"), "python": ("3.11.9", "strong")}
    assert run_days(tmp_path, names(tmp_path)) == [(dt.date(2024, 9, 2), "MLmodel")]


def test_the_folder_of_mlflow_is_the_one_above_peft(tmp_path: Path) -> None:
    (tmp_path / "peft").mkdir()
    assert mlflow_above(tmp_path / "peft") is None
    (tmp_path / "MLmodel").write_text(ML_MODEL)
    assert str(mlflow_above(tmp_path / "peft")) == str(tmp_path)
    assert mlflow_above(tmp_path) is None
