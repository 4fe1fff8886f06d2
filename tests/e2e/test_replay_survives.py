"""`replay merge` killed at any moment, raced, and given an environment whose bytes were changed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from typing import TYPE_CHECKING

from envpin.core import process
from envpin.envs.store.store import Store
from tests.support.adapters import copy
from tests.support.command import answer, arguments, envpin, variables
from tests.support.environments import store_root

if TYPE_CHECKING:
    from pathlib import Path

    from envpin.envs.store.environment import Environment


def merged_files(folder: Path) -> dict[str, str]:
    files: dict[str, str] = json.loads((folder / "envpin-merge.json").read_text())["files"]
    return files


def recorded_environment(pair: Path) -> Environment:
    """The environment that a replay of `pair` uses, built by a first replay."""
    found = answer("replay", "merge", pair / "adapter", "-o", pair / "first")
    return Store(store_root()).get(found["merge"]["environment"]["key"])


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Ten moments; in `make test-all` 30, and every killed merge is resumed."""
    pair = copy("plain", tmp_path)
    kills = 30 if os.environ.get("ENVPIN_TEST_ALL") else 10
    size = ("--max-shard-size", "20KB")
    began = time.monotonic()
    answer("replay", "merge", pair / "adapter", "-o", pair / "whole", *size)
    whole = time.monotonic() - began
    wanted = merged_files(pair / "whole")
    moments = random.Random(7)
    finished = 0
    for at in range(kills):
        out = pair / f"merged-{at}"
        command = arguments("replay", "merge", pair / "adapter", "-o", out, *size)
        child = process.start(command, env=variables(), stdin=None)
        time.sleep(moments.uniform(0.05, whole * 1.05))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        if out.exists():
            finished += 1
            assert merged_files(out) == wanted
            assert {path.name for path in out.iterdir()} == {*wanted, "envpin-merge.json"}
        elif at in {0, kills // 2} or kills > 10:
            answer("replay", "merge", pair / "adapter", "-o", out, *size, "--resume")
            assert merged_files(out) == wanted
            for name in wanted:
                assert (out / name).read_bytes() == (pair / "whole" / name).read_bytes(), name
    assert finished < kills, "no kill came early enough to prove anything"


def test_a_killed_merge_into_the_same_output_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    out = pair / "merged"
    child = process.start(arguments("replay", "merge", pair / "adapter", "-o", out), env=variables(), stdin=None)
    deadline = time.monotonic() + 120
    while not list(pair.glob(".merged.envpin-staging-*/model.safetensors")) and time.monotonic() < deadline:
        assert child.poll() is None, "the merge ended before it could be killed"
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not out.exists()
    answer("replay", "merge", pair / "adapter", "-o", out)
    assert sorted(path.name for path in pair.iterdir()) == ["adapter", "base", "done", "merged"]


def test_two_merges_into_one_output(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    out = pair / "merged"
    children = [
        process.start(arguments("replay", "merge", pair / "adapter", "-o", out), env=variables(), stdin=None)
        for _ in range(2)
    ]
    ended = [(child.communicate()[1].decode(), child.returncode) for child in children]
    assert sorted(status for _, status in ended) == [0, 5], ended
    loser = next(error for error, status in ended if status == 5)
    assert "another merge" in loser or "exists" in loser or "appeared" in loser
    assert merged_files(out)


def test_a_changed_byte_in_the_environment_is_named_and_healed(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    environment = recorded_environment(pair)
    # A copy of the store: no other test may meet the damage.
    home = tmp_path / "home"
    shutil.copytree(store_root() / "resolutions", home / "resolutions")
    shutil.copytree(environment.path, home / "environments" / environment.key, symlinks=True)
    victim = next((home / "environments" / environment.key).glob("lib/python*/site-packages/peft/tuners/lora/layer.py"))
    good = victim.read_bytes()
    victim.write_bytes(good.replace(b"return output_tensor", b"return output_tensOr", 1) + b"#")
    name = "peft/tuners/lora/layer.py"
    checked = envpin("env", "verify", environment.key, env={"ENVPIN_HOME": str(home)})
    assert checked.status != 0
    assert name in checked.stdout + checked.stderr
    completed = envpin("replay", "merge", pair / "adapter", "-o", pair / "merged", env={"ENVPIN_HOME": str(home)})
    assert completed.status == 0, completed.stderr
    assert name in completed.stderr
    assert "built again" in completed.stderr
    assert victim.read_bytes() == good
    assert merged_files(pair / "merged") == merged_files(pair / "first")
