"""Which command a runner of environments would run."""

from __future__ import annotations

import pytest

from envpin.replay.training.wrapped import beside_interpreter, without_runner

INSTALLED = {"torchrun", "accelerate"}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("uv run train.py --lr 1", "python train.py --lr 1"),
        ("/opt/bin/uv run --no-project --with peft train.py run", "python train.py run"),
        ("uv --offline run --python 3.11 python train.py", "python train.py"),
        ("uv run -m pkg.train", "python -m pkg.train"),
        ("uv run --extra gpu torchrun --nproc-per-node 2 train.py", "torchrun --nproc-per-node 2 train.py"),
        ("poetry run accelerate launch train.py", "accelerate launch train.py"),
        ("conda run -n torch --no-capture-output python3.11 train.py", "python3.11 train.py"),
        ("hatch run train", "hatch run train"),  # a name of its configuration
        ("uv sync", "uv sync"),
        ("bash run.sh", "bash run.sh"),
        ("python run train.py", "python run train.py"),
        ("uv", "uv"),
    ],
)
def test_a_runner_is_left_out_and_nothing_else(command: str, expected: str) -> None:
    assert without_runner(command.split(), INSTALLED.__contains__) == tuple(expected.split())


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (".venv/bin/python", "python"), ("./.venv/bin/torchrun", "torchrun"), ("/w/p/.venv/bin/python3", "python3"),
        ("../p/.venv/bin/python", "python"), ("python", None), ("/usr/bin/python", None), (".venv/bin/deep/x", None),
    ],
)  # fmt: skip
def test_a_program_next_to_the_interpreter_is_known_by_any_path(value: str, name: str | None) -> None:
    assert beside_interpreter(value, "/w/p/sub/../.venv/bin/python", "/w/p") == name
    assert beside_interpreter(value, None, "/w/p") is None
