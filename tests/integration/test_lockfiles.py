"""The committed locks are what `envpin lock` makes today, from the real index, and they name nothing of any machine."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from envpin.core import process
from envpin.envs.locks.lock import lock_file_name, read_lock
from envpin.envs.refs.family import committed_requests
from envpin.matrix.load import load_matrix

LOCKS = Path(__file__).resolve().parents[2] / "lockfiles"
USERS = [(family.id, family.lock) for family in load_matrix().families.values() if family.lock]
# One family for each lock: the one that it is called after.
LOCKED = [(request.name, stem) for stem, (request, _families) in committed_requests(load_matrix()).items()]


def test_the_two_of_the_main_job_are_there() -> None:
    assert {("llama3.1", "llama3-1"), ("qwen2.5", "qwen2-5")} <= set(LOCKED)


def test_every_committed_lock_belongs_to_a_family() -> None:
    assert {path.name for path in LOCKS.glob("*.toml")} == {f"pylock.{stem}.toml" for _, stem in LOCKED}


@pytest.mark.parametrize(("family", "stem"), LOCKED)
def test_the_command_makes_the_committed_lock(family: str, stem: str, tmp_path: Path) -> None:
    committed = LOCKS / f"pylock.{stem}.toml"
    # What only this machine has must not shape it: a folder of wheels with another torch, a backend for its GPU.
    variables = process.scrubbed_environment(
        set_values={"UV_FIND_LINKS": os.environ.get("PIP_FIND_LINKS", str(tmp_path)), "UV_TORCH_BACKEND": "cpu"}
    )
    made = tmp_path / committed.name
    command = [sys.executable, "-m", "envpin", "lock", "--json", family, "-o", str(made)]
    completed = process.run(command, env=variables, cwd=tmp_path)
    assert completed.status == 0, completed.stderr
    assert made.read_text(encoding="utf-8") == committed.read_text(encoding="utf-8")
    assert json.loads(completed.stdout)["sha256"] == read_lock(committed).digest


def test_a_lock_has_the_name_of_a_family_that_uses_it() -> None:
    assert {stem: lock_file_name(name) for name, stem in LOCKED} == {stem: f"pylock.{stem}.toml" for _, stem in LOCKED}


def test_every_family_with_a_verified_merge_has_a_lock() -> None:
    verified = {one.id for one in load_matrix().families.values() if one.grade == "merge-verified"}
    assert verified <= {name for name, _ in USERS}


@pytest.mark.parametrize(("family", "stem"), USERS)
def test_it_holds_the_pins_from_the_index_alone(family: str, stem: str) -> None:
    lock = read_lock(LOCKS / f"pylock.{stem}.toml")
    for name, version in load_matrix().families[family].pins.items():
        assert lock.versions_of(name) == (version,)
    assert lock.pylock.requires_python is not None
    assert lock.pylock.environments
    for package in lock.packages:
        assert package.index == "https://pypi.org/simple"
        assert package.sdist is None
        for wheel in package.wheels or ():
            assert (wheel.url or "").startswith("https://files.pythonhosted.org/")
            assert "sha256" in wheel.hashes


def test_the_lock_of_a_stack_is_checked_by_its_file_and_by_its_question(tmp_path: Path) -> None:
    variables = process.scrubbed_environment(set_values={"ENVPIN_HOME": str(tmp_path / "home")})
    question = ["llama3.1", "--with", "trl,bitsandbytes", "--python", "3.10", "--cuda", "12.4"]

    def lock(*words: str) -> int:
        return process.run([sys.executable, "-m", "envpin", "lock", *words], env=variables, cwd=tmp_path).status

    made = tmp_path / "pylock.stack.toml"
    assert lock(*question, "-o", str(made)) == 0
    assert read_lock(made).versions_of("trl")
    assert lock(str(made), "--check") == 0
    trl = read_lock(made).versions_of("trl")[0]
    made.write_text(made.read_text(encoding="utf-8").replace(trl, "0.8.6"), encoding="utf-8")
    assert lock(*question, "-o", str(made), "--check") == 1
