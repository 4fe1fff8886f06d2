"""The script of the GitHub Action and the entries of the hooks, run for real on a repository with a broken adapter."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envpin.core import process
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.command import variables
from tests.support.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    write_model(root / "base", llama_shapes())
    write_adapter(root / "good", lora_shapes(llama_shapes()), base="../base")
    write_adapter(root / "fine", lora_shapes(llama_shapes()), base="../base")
    write_adapter(root / "broken", lora_shapes(llama_shapes(hidden=32)), base="../base")
    return root


def with_tools(**extra: str) -> Mapping[str, str]:
    return {**variables(extra), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def action(repository: Path, tmp_path: Path, command: str, words: str) -> tuple[process.Completed, str, Path]:
    summary, sarif = tmp_path / "summary.md", tmp_path / "found.sarif"
    env = with_tools(
        ENVPIN_COMMAND=command, ENVPIN_ARGUMENTS=words, ENVPIN_SARIF=str(sarif), GITHUB_STEP_SUMMARY=str(summary)
    )
    completed = process.run(["bash", ROOT / "ci" / "action.sh"], env=env, cwd=repository)
    return completed, summary.read_text(encoding="utf-8") if summary.exists() else "", sarif


def test_action_annotates_the_broken_adapter_and_fails(repository: Path, tmp_path: Path) -> None:
    completed, summary, sarif = action(repository, tmp_path, "scan", ".")
    assert completed.status == 1, completed.stderr
    wrong = [line for line in completed.stdout.splitlines() if line.startswith("::error ")]
    assert wrong
    assert all("file=broken/adapter_config.json," in line for line in wrong)
    assert "exit status 1" in summary
    assert "error: broken/adapter_config.json: " in summary
    levels = [one["level"] for one in json.loads(sarif.read_text())["runs"][0]["results"]]
    assert levels.count("error") == len(wrong)


def test_action_passes_a_good_adapter(repository: Path, tmp_path: Path) -> None:
    completed, summary, _ = action(repository, tmp_path, "check", "good\n--offline\n")
    assert completed.status == 0, completed.stderr
    assert "::error" not in completed.stdout
    assert "exit status 0" in summary


def test_action_runs_no_argument_as_a_command(repository: Path, tmp_path: Path) -> None:
    completed, _, _ = action(repository, tmp_path, "scan", f"$(touch {tmp_path}/ran); touch {tmp_path}/ran")
    assert completed.status == 2
    assert not (tmp_path / "ran").exists()
    completed, _, _ = action(repository, tmp_path, "record", "--\ntouch\nx")
    assert completed.status == 2


@pytest.mark.parametrize(
    ("hook", "folder", "status"),
    [("envpin-scan", "broken", 1), ("envpin-scan", "good", 0), ("envpin-recorded", "good", 1)],
)
def test_hook_has_the_status_that_stops_a_commit(repository: Path, hook: str, folder: str, status: int) -> None:
    text = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    found = re.search(rf"^- id: {hook}\n(?:  .*\n)*?  entry: (.*)\n", text, re.MULTILINE)
    assert found is not None
    completed = process.run(shlex.split(found[1]), env=with_tools(), cwd=repository / folder)
    assert completed.status == status, completed.stdout + completed.stderr
