"""The hooks of .pre-commit-hooks.yaml, installed and run by the real pre-commit in a real repository of git."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from envpin.core import process
from envpin.envs.uv.command import find_uv
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model
from tests.support.places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *words: str) -> str:
    completed = process.run(["git", "-C", str(folder), *IDENTITY, *words])
    assert completed.status == 0, completed.stderr
    return completed.stdout


def snapshot(folder: Path) -> str:
    """This checkout as it is now, as a repository of its own; the commit."""
    names = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    for name in names:
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--no-verify", "--message", "envpin")
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with three adapters, one of them broken, and its base; hooks installed from this checkout."""
    root = tmp_path_factory.mktemp("models")
    hooks = tmp_path_factory.mktemp("hooks")
    commit = snapshot(hooks)
    write_model(root / "base", llama_shapes())
    for name, hidden in (("good", 64), ("fine", 64), ("broken", 32)):
        write_adapter(root / name, lora_shapes(llama_shapes(hidden=hidden)), base="../base")
    listed = "".join(f"      - id: {name}\n" for name in ("envpin-scan", "envpin-recorded"))
    (root / ".pre-commit-config.yaml").write_text(f"repos:\n  - repo: {hooks}\n    rev: {commit}\n    hooks:\n{listed}")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    return root


def pre_commit(repository: Path, hook: str) -> process.Completed:
    home = repository.parent / "pre-commit-home"
    left_out = {"PYTHONPATH", "VIRTUAL_ENV"}
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    words = ["tool", "run", "--from", "pre-commit", "pre-commit", "run", hook, "--all-files", "--verbose"]
    return process.run([find_uv().path, *words], env={**env, "PRE_COMMIT_HOME": str(home)}, cwd=repository)


@pytest.mark.xdist_group("install")
def test_scan_hook_stops_a_commit_with_a_broken_adapter_and_lets_a_sound_one_pass(repository: Path) -> None:
    stopped = pre_commit(repository, "envpin-scan")
    assert stopped.status == 1, stopped.stdout + stopped.stderr
    assert "adapters load and merge" in stopped.stdout
    assert "Failed" in stopped.stdout
    assert "broken" in stopped.stdout
    git(repository, "rm", "-r", "--quiet", "--cached", "broken")
    shutil.rmtree(repository / "broken")
    passed = pre_commit(repository, "envpin-scan")
    assert passed.status == 0, passed.stdout + passed.stderr
    assert "Passed" in passed.stdout


@pytest.mark.xdist_group("install")
def test_recorded_hook_refuses_an_adapter_without_its_manifest(repository: Path) -> None:
    stopped = pre_commit(repository, "envpin-recorded")
    assert stopped.status == 1, stopped.stdout + stopped.stderr
    assert "good" in stopped.stdout
