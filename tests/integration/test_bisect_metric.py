"""`envpin bisect --metric` on synthetic releases: a number with noise, a planted change of it, real environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bisecting import World
from tests.support.simple_index import SimpleIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROBE = """
import os, random
import pkg
with open({ran!r}, "a") as stream:
    stream.write(os.environ.get("ENVPIN_BISECT_VERSION", "-") + "\\n")
print("loss after 20 steps:", pkg.loss + random.gauss(0, {noise}))
"""
OPTIONS = ("pkg", "--good", "1.0", "--bad", "1.19", "--metric", "--no-prefetch", "--no-prior")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with SimpleIndex() as index:
        yield World(index, tmp_path)


def releases(world: World, changed: int, *, by: float = 0.05, broken: frozenset[int] = frozenset()) -> None:
    for minor in range(20):
        loss = f"loss = {5.0 + (by if minor >= changed else 0.0)!r}\n"
        code = "raise ImportError('another fault')\n" if minor in broken else loss
        world.publish("pkg", f"1.{minor}", code=code, uploaded=f"2024-01-{minor + 1:02}T00:00:00Z")


def command(world: World, noise: float) -> list[str]:
    script = world.folder / "probe.py"
    script.write_text(PROBE.format(ran=str(world.folder / "ran"), noise=noise))
    return ["--", "python", str(script)]


def test_the_release_that_moved_a_noisy_loss_is_named(world: World) -> None:
    releases(world, 12)
    answer = world.bisect(*OPTIONS, "--json", *command(world, 0.005)).document
    assert (answer["last_good"], answer["first_bad"], answer["certain"]) == ("1.11", "1.12", True)
    assert answer["error"].startswith("Metric: ")
    outcomes = [record["outcome"] for record in world.records()]
    assert all(len(one["details"]["values"]) <= 6 for one in outcomes)
    assert len(world.ran) < 12 + 3 * len(outcomes)


def test_another_failure_never_counts_as_bad(world: World) -> None:
    releases(world, 12, broken=frozenset({9, 10}))
    answer = world.bisect(*OPTIONS, "--json", *command(world, 0.005)).document
    assert (answer["last_good"], answer["first_bad"]) == ("1.11", "1.12")
    assert {record["verdict"] for record in world.records() if record["version"] in {"1.9", "1.10"}} <= {"untestable"}


def test_ends_that_noise_hides_are_refused_before_the_search(world: World) -> None:
    releases(world, 12, by=0.001)
    child = world.bisect(*OPTIONS, *command(world, 0.5), status=1)
    assert "cannot be told apart by their noise" in child.stderr + child.stdout
    assert {record["version"] for record in world.records()} <= {"1.0", "1.19"}


def test_usage_is_checked_before_anything_runs(world: World) -> None:
    releases(world, 12)
    no_command = world.bisect("pkg", "--good", "1.0", "--bad", "1.19", "--metric", "--family", "llama3.1", status=2)
    assert "`--metric` needs a command" in no_command.stderr
    several = world.bisect(*OPTIONS, "-j", "2", *command(world, 0.0), status=2)
    assert "leave out `-j`" in several.stderr
    assert world.ran == []
