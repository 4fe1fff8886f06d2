"""Jupyter's kernels: found where Jupyter finds them, copied with their interpreter, and only envpin's own removed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError, OutputExistsError
from envpin.recording.injected import HOOK, recorder_variables
from envpin.recording.kernels import install, kernels, remove

if TYPE_CHECKING:
    from pathlib import Path


def kernel(folder: Path, argv: list[str], **more: object) -> None:
    folder.mkdir(parents=True)
    document = {"argv": argv, "display_name": "Mine", "language": "python", "env": {"A": "1"}, **more}
    (folder / "kernel.json").write_text(json.dumps(document))


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"JUPYTER_DATA_DIR": str(tmp_path / "data"), "JUPYTER_PATH": str(tmp_path / "share" / "jupyter")}


def test_install_keeps_the_kernel_and_puts_the_recorder_in_front(tmp_path: Path, env: dict[str, str]) -> None:
    argv = ["/envs/my env/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel(tmp_path / "share/jupyter/kernels/mine", argv, metadata={"debugger": True})
    made = install("mine", python=None, env=env)
    assert made.argv == (sys.executable, "-P", "-m", "envpin", "record", "--", *argv)
    document = json.loads((tmp_path / "data/kernels/mine-recorded/kernel.json").read_text())
    assert document["display_name"] == "Mine (recorded)"
    assert (document["env"], document["metadata"]["debugger"]) == ({"A": "1"}, True)
    assert [one.name for one in kernels(env).values() if one.is_recorded] == ["mine-recorded"]
    install("mine", python=None, env=env)
    assert remove("mine", env) == tmp_path / "data/kernels/mine-recorded"
    assert "mine-recorded" not in kernels(env)


def test_install_finds_the_interpreter_that_jupyter_would_take(tmp_path: Path, env: dict[str, str]) -> None:
    kernel(tmp_path / "share/jupyter/kernels/python3", ["python", "-m", "x"])
    with pytest.raises(InputError, match="only Jupyter knows"):
        install("python3", python=None, env=env)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    assert install("python3", python=None, env=env).argv[6:] == (str(tmp_path / "bin" / "python"), "-m", "x")


@pytest.mark.parametrize("name", ["gone", "../x", "", "mine-recorded"])
def test_install_refuses_what_is_no_kernel(tmp_path: Path, env: dict[str, str], name: str) -> None:
    kernel(tmp_path / "share/jupyter/kernels/mine", ["/x/python"])
    install("mine", python=None, env=env)
    with pytest.raises(InputError):
        install(name, python=None, env=env)


def test_a_kernel_of_somebody_else_stays(tmp_path: Path, env: dict[str, str]) -> None:
    kernel(tmp_path / "share/jupyter/kernels/mine", ["/x/python"])
    kernel(tmp_path / "data/kernels/mine-recorded", ["/y/python"])
    with pytest.raises(OutputExistsError):
        install("mine", python=None, env=env)
    with pytest.raises(InputError):
        remove("mine", env)
    assert install("mine", python=None, env=env, overwrite=True).argv[-1] == "/x/python"


def test_recorder_variables_carry_the_recorder_and_nothing_else() -> None:
    path = f"/leak:{HOOK}:/other"
    assert recorder_variables({"ENVPIN_RECORD": "/run", "PYTHONPATH": path}) == {"PYTHONPATH": str(HOOK)}
    assert recorder_variables({"PYTHONPATH": path}) == {}
    assert recorder_variables({"ENVPIN_RECORD": "/run", "PYTHONPATH": "/leak"}) == {}
    assert recorder_variables({"ENVPIN_RECORD": "/run"}) == {}
