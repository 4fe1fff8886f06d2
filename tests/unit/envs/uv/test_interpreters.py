"""Which Python uv is given, and where it looks for one itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from envpin.envs.machine import default_python
from envpin.envs.uv.interpreters import own_interpreter

FULL = ".".join(map(str, sys.version_info[:3]))
NOTHING = {"HOME": "/nonexistent", "XDG_CONFIG_DIRS": "/nonexistent"}


@pytest.mark.parametrize("version", [default_python(), FULL])
def test_the_python_that_runs_envpin_is_taken_without_its_virtual_environment(version: str) -> None:
    found = own_interpreter(version, NOTHING)
    assert found is not None
    assert found.resolve().is_relative_to(Path(sys.base_prefix).resolve())


@pytest.mark.parametrize("version", ["3", "3.8", f"{FULL}9", f"{default_python()}t", f"cpython-{FULL}", ""])
def test_another_version_is_left_to_uv(version: str) -> None:
    assert own_interpreter(version, NOTHING) is None


@pytest.mark.parametrize(
    "name", ["UV_PYTHON_PREFERENCE", "UV_MANAGED_PYTHON", "UV_NO_MANAGED_PYTHON", "UV_PYTHON_SEARCH_PATH",
             "UV_PYTHON_INSTALL_DIR"]
)  # fmt: skip
def test_variables_that_say_which_pythons_to_take_leave_it_to_uv(name: str) -> None:
    assert own_interpreter(default_python(), {**NOTHING, name: "x"}) is None


def test_a_setting_that_says_which_pythons_to_take_leaves_it_to_uv(tmp_path: Path) -> None:
    (tmp_path / "uv.toml").write_text('python-preference = "only-managed"\n', encoding="utf-8")
    named = {**NOTHING, "UV_CONFIG_FILE": str(tmp_path / "uv.toml")}
    assert own_interpreter(default_python(), named) is None
    assert own_interpreter(default_python(), {**named, "UV_NO_CONFIG": "1"}) is not None
