"""The environment that a child gets: nothing in it leads another Python into a pinned one."""

from __future__ import annotations

import pytest

from envpin.core.process import scrubbed_environment

# What makes an interpreter find modules elsewhere, or behave otherwise: from `python --help-env` and the launchers.
LEADS_ELSEWHERE = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONOPTIMIZE", "PYTHONPLATLIBDIR",
    "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV",
)  # fmt: skip


@pytest.mark.parametrize("name", LEADS_ELSEWHERE)
def test_a_variable_that_leads_to_another_python_is_dropped(name: str) -> None:
    assert scrubbed_environment({name: "/elsewhere", "HOME": "/me"}) == {"HOME": "/me", "PYTHONNOUSERSITE": "1"}


def test_what_is_set_wins_over_what_is_dropped_and_inherited() -> None:
    found = scrubbed_environment({"A": "1", "B": "2"}, set_values={"A": "3", "PYTHONPATH": "/mine"}, drop=["B"])
    assert found == {"A": "3", "PYTHONPATH": "/mine", "PYTHONNOUSERSITE": "1"}


def test_without_a_base_the_callers_variables_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVPIN_TEST_MARK", "here")
    monkeypatch.setenv("PYTHONUSERBASE", "/elsewhere")
    found = scrubbed_environment()
    assert found["ENVPIN_TEST_MARK"] == "here"
    assert "PYTHONUSERBASE" not in found
