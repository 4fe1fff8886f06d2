"""Notebooks in a real kernel: without envpin in its environment, and with `%load_ext envpin`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envpin.core import process
from envpin.envs.uv.command import find_uv
from tests.support import recorded
from tests.support.environments import PINS, PYTHON, pinned
from tests.support.places import ROOT
from tests.support.walks import Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.xdist_group("notebook")
INSIDE = ROOT / "tests" / "support" / "kernel_inside.py"
ENVIRONMENT = "peft012"
TRAIN = f"""
import sys; sys.path.insert(0, {str(recorded.TINY.parent)!r})
import tiny
model = tiny.lora(tiny.load("base"))
model.save_pretrained("out")
print("saved")
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with ipykernel, in which the pinned libraries are found as well."""
    folder = tmp_path_factory.mktemp("kernel") / "venv"
    environment = pinned(ENVIRONMENT)
    packages = ("ipykernel", "jupyter_client", "nbconvert")
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("venv", "--quiet", "--python", environment.python, folder),
        ("pip", "install", "--quiet", "--python", folder, *packages),
    )
    for words in commands:
        completed = process.run([find_uv().path, *words])
        assert completed.status == 0, completed.stderr
    (site,) = folder.glob("lib/python3*/site-packages")
    (libraries,) = Path(environment.path).glob("lib/python3*/site-packages")
    (site / "pinned.pth").write_text(f"{libraries}\n")
    return folder / "bin" / "python"


Outputs = list[list[dict[str, Any]]]


def drive(kernel: Path, name: str, cells: list[str], folder: Path, env: Mapping[str, str]) -> Outputs:
    file = folder / "cells.json"
    file.write_text(json.dumps(cells))
    completed = process.run([kernel, INSIDE, name, file], env=env, cwd=folder, timeout=280)
    assert completed.status == 0, completed.stderr
    found: Outputs = json.loads(completed.stdout.splitlines()[-1])
    return found


def workplace(tmp_path: Path) -> dict[str, str]:
    """A folder with a tiny base, and an environment whose Jupyter keeps everything below it."""
    base = recorded.base(ENVIRONMENT, tmp_path)
    base.rename(tmp_path / "base")
    recorded.base.cache_clear()
    return recorded.variables(JUPYTER_DATA_DIR=str(tmp_path / "jupyter"), IPYTHONDIR=str(tmp_path / "ipython"))


def test_kernel_without_envpin_is_recorded(kernel: Path, tmp_path: Path) -> None:
    """By the lines of the how-to, which go on to a notebook that is run from the command line."""
    env = workplace(tmp_path)
    plain_kernel(kernel, "python3", tmp_path, env)
    (tmp_path / "env").symlink_to(kernel.parents[1])
    tools = [str(Path(sys.executable).parent), str(kernel.parent), os.environ["PATH"]]
    walk = Walk("notebook.md", tmp_path, {**env, "PATH": os.pathsep.join(tools)})
    walk.type()
    assert walk.take("python") == "%load_ext envpin\n"  # in the next test
    cells = ["import importlib.util; print(importlib.util.find_spec('envpin'))", TRAIN, "INTERRUPT", "print('alive')"]
    none, trained, interrupted, alive = drive(kernel, "train-recorded", cells, tmp_path, env)
    assert none == [{"stdout": "None\n"}]
    assert {"stdout": "saved\n"} in trained
    # As an error of the cell or, where the signal meets IPython between two lines, as a line on stderr.
    assert "KeyboardInterrupt" in str(interrupted)
    assert alive == [{"stdout": "alive\n"}]
    manifest = json.loads((tmp_path / "out" / "envpin.json").read_text())
    versions = {one["name"]: one["version"] for one in manifest["distributions"]}
    assert (versions["transformers"], versions["peft"]) == ("4.43.1", "0.12.0")
    assert manifest["base"]["path"] == str(tmp_path / "base")
    assert "adapter_model.safetensors" in manifest["saved"]["files"]
    assert "ipykernel" in versions
    notebook(tmp_path / "train.ipynb", TRAIN.replace('"out"', '"from-notebook"'))
    assert "recorded from-notebook" in walk.type()
    walk.end()


def notebook(path: Path, cell: str) -> None:
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}
    ]
    kernelspec = {"name": "python3", "display_name": "Python", "language": "python"}
    path.write_text(
        json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": kernelspec}, "cells": cells})
    )


def plain_kernel(kernel: Path, name: str, folder: Path, env: dict[str, str]) -> None:
    """Make the kernel known to Jupyter as `name`; in `env`, Jupyter looks for it there."""
    words = ["--prefix", str(folder / "p"), "--name", name]
    install = process.run([kernel, "-m", "ipykernel", "install", *words], env=env)
    assert install.status == 0, install.stderr
    env["JUPYTER_PATH"] = str(folder / "p" / "share" / "jupyter")


def test_load_ext_records_and_shows_a_panel(kernel: Path, tmp_path: Path) -> None:
    env = workplace(tmp_path)
    (own,) = Path(sys.prefix).glob("lib/python3*/site-packages")
    (site,) = Path(kernel).parents[1].glob("lib/python3*/site-packages")
    extra = site / "zz-envpin.pth"  # after the pinned libraries
    extra.write_text(f"{ROOT / 'src'}\n{own}\n")
    try:
        plain_kernel(kernel, "plain", tmp_path, env)
        cells = ["%load_ext envpin", TRAIN, "x = 1", "%load_ext envpin", "%unload_ext envpin"]
        loaded, trained, quiet, again, unloaded = drive(kernel, "plain", cells, tmp_path, env)
    finally:
        extra.unlink()
    (greeting,) = [one for one in loaded if "text/html" in one]
    assert "transformers 4.43.1, peft 0.12.0" in greeting["text/plain"]
    (panel,) = [one for one in trained if "text/html" in one]
    assert f"{tmp_path / 'out'}: adapter recorded; base base; " in panel["text/plain"]
    assert "<table>" in panel["text/html"]
    assert quiet == []
    assert not [one for one in (*again, *unloaded) if "text/html" in one or "error" in one]
    manifest = json.loads((tmp_path / "out" / "envpin.json").read_text())
    assert "adapter_model.safetensors" in manifest["saved"]["files"]
    assert manifest["run"]["id"]


def test_record_in_front_of_run_records(tmp_path: Path) -> None:
    """The environment of `envpin run` takes PYTHONPATH away, and the recorder with it, but for this."""
    env = workplace(tmp_path)
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    envpin = [sys.executable, "-m", "envpin"]
    inner = [*envpin, "run", "--python", PYTHON, ",".join(PINS[ENVIRONMENT]), "--", "python", str(script)]
    leaking = {**env, "PYTHONPATH": str(tmp_path / "leak")}
    completed = process.run([*envpin, "record", "--", *inner], env=leaking, cwd=tmp_path)
    assert completed.status == 0, completed.stderr
    assert "recorded out" in completed.stderr, completed.stderr
    assert os.path.isfile(tmp_path / "out" / "envpin.json")  # noqa: PTH113
