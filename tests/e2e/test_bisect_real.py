"""The how-to of bisect as typed: one real search over real releases from the package index, and toys for the rest."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from envpin.core import process
from tests.support.command import variables
from tests.support.toys import Toys
from tests.support.walks import Walk

TEST = "import peft, transformers\nprint(peft.number)\n"
LOSS = "import random, transformers\nprint('loss after 20 steps:', transformers.loss + random.gauss(0, 0.01))\n"


def test_bisect_page_prints_what_it_shows(tmp_path: Path) -> None:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = variables({"PATH": tools, "ENVPIN_HOME": str(tmp_path / "home")})
    walk = Walk("bisect.md", tmp_path, env)
    walk.type()
    the_release_that_reads_llama_3_1_was_found_in_two_probes(walk)
    with toys(tmp_path) as world:
        index = {**world.variables(), "PATH": tools}
        walk.env = dict(index)
        told = walk.type()
        assert "last good   peft 0.15.2" in told
        for name, pins in (
            ("before", "transformers==4.42.4,peft==0.15.2"),
            ("after", "transformers==4.42.4,peft==0.16.0"),
        ):
            locked = process.run(["envpin", "lock", pins, "-o", f"pylock.{name}.toml"], env=index, cwd=tmp_path)
            assert locked.status == 0, locked.stderr
        told = walk.type()
        assert told.count("moving peft breaks it") == 4  # each as it is found, and at the end
        walk.env = env
        told = walk.type()
        assert "finished: transformers 4.43.0 (2024-07-23) fixed it" in told
        assert "pin: transformers==4.43.0" in told
        walk.env = dict(index)
        told = walk.type()
        assert "peft" in told
        told = walk.type()
        assert "last good   transformers 4.45.2" in told
        assert "warning" not in told
    walk.end()


def the_release_that_reads_llama_3_1_was_found_in_two_probes(walk: Walk) -> None:
    """Asked again, the finished search answers from its log."""
    command = ["bisect", "transformers", "--good", "4.44.2", "--bad", "4.41.0", "--family", "llama3.1",
               "--probe", "config", "--python", "3.11", "--json"]  # fmt: skip
    done = process.run([sys.executable, "-m", "envpin", *command], env=walk.env, cwd=walk.folder)
    assert done.status == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["before"], answer["after"], answer["certain"]) == ("4.42.4", "4.43.0", True)
    assert answer["narrowing"] == 2 < answer["halving"]
    assert "rope type `llama3` appears" in answer["reason"]
    assert "`rope_scaling` must be a dictionary" in answer["error"]
    touched = {change["path"] for change in answer["changed_files"] if change.get("touches")}
    assert "transformers/models/llama/configuration_llama.py" in touched


def toys(folder: Path) -> Toys:
    """An index where peft falls over from 0.16.0 on, and the loss moves with transformers 4.46.0."""
    world = Toys(folder)
    for release in ("0.13.2", "0.15.2", "0.16.0", "0.17.1"):
        fallen = release in {"0.16.0", "0.17.1"}
        world.publish("peft", release, code="raise RuntimeError('it fell over')\n" if fallen else "number = 1\n")
    for release in ("4.42.4", "4.45.2", "4.46.0", "4.46.3"):
        world.publish("transformers", release, code=f"loss = {5.5 if release >= '4.46' else 5.0}\n")
    world.publish("numpy", "2.1.0")
    (folder / "my_test.py").write_text(TEST)
    (folder / "loss_after_20_steps.py").write_text(LOSS)
    return world
