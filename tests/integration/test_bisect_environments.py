"""`envpin bisect --good REF --bad REF`: a planted cause of two packages among twenty-five."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.bisecting import World
from tests.support.simple_index import SimpleIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = [f"part{number:02}" for number in range(25)]
# Breaks only where part07 and part19 have both changed: at 1.3 and at 1.6 of their releases 1.0 … 1.9.
CODE = """
import part07, part19
if part07.number >= 3 and part19.number >= 6:
    raise RuntimeError("these two do not go together")
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with SimpleIndex() as index:
        world = World(index, tmp_path)
        for name in NAMES:
            for minor in range(10) if name in {"part07", "part19"} else (0, 9):
                # part11 and part12 have to move together, and part03 brings a package that was not there before.
                requires = {"part11": [f"part12>=1.{minor}"], "part03": ["fresh"] if minor == 9 else []}.get(name, [])
                world.publish(name, f"1.{minor}", code=f"number = {minor}\n", requires=requires)
        world.publish("fresh", "1.0")
        world.publish("app", "1.0", code=CODE)
        yield world


def test_the_two_that_did_it_are_found_though_killed_in_the_middle_and_the_release_in_each(world: World) -> None:
    good, bad = (",".join(["app==1.0", *(f"{name}==1.{minor}" for name in NAMES)]) for minor in (0, 9))
    ends = ("--good", good, "--bad", bad, "--repeatable", "--json", "--no-prefetch")
    command = (*ends, *world.probe("app", pause=0.1))
    child = world.start(*command)
    while len(world.records("set")) < 5 and child.poll() is None:
        time.sleep(0.01)
    child.kill()
    child.communicate()
    finished = [record["moved"] for record in world.records("set")]
    answer = world.bisect(*command).document
    assert [move["package"] for move in answer["needed"]] == ["part07", "part19"]
    assert answer["proved"]
    assert answer["carried"] == []
    assert answer["changes"] == 26
    assert answer["sets_tested"] <= 24
    inner = answer["releases"]
    assert (inner["part07"]["last_good"], inner["part07"]["first_bad"]) == ("1.2", "1.3")
    assert (inner["part19"]["last_good"], inner["part19"]["first_bad"]) == ("1.5", "1.6")
    tested = [record["moved"] for record in world.records("set") if not record["again"]]
    assert tested[: len(finished)] == finished
    assert len({tuple(moved) for moved in tested}) == len(tested), "a finished probe was run again"
    ran = len(world.ran)
    assert world.bisect(*command).document["needed"] == answer["needed"]
    assert len(world.ran) == ran, "a finished probe was run again"


def small(world: World) -> tuple[str, ...]:
    good, bad = (",".join(["app==1.0", *(f"{name}==1.{minor}" for name in NAMES[5:21:2])]) for minor in (0, 9))
    return ("--good", good, "--bad", bad, "--repeatable", "--json", "--no-prefetch")


def test_sets_run_side_by_side_and_the_network_may_go_away(world: World) -> None:
    parallel = [word for word in small(world) if word != "--no-prefetch"]
    command = (*parallel, "-j", "2", *world.probe("app", pause=0.1))
    child = world.start(*command)
    while len(world.records("set")) < 4 and child.poll() is None:
        time.sleep(0.01)
    world.index.stop()
    _, stderr = child.communicate(timeout=120)
    known = [record["moved"] for record in world.records("set") if not record["again"]]
    # The sets are mixtures of wheels that uv's cache holds; the releases inside a package need the index.
    assert child.returncode == 4, stderr
    world.index.resume()
    answer = world.bisect(*command).document
    assert [move["package"] for move in answer["needed"]] == ["part07", "part19"]
    assert answer["proved"]
    tested = [record["moved"] for record in world.records("set") if not record["again"]]
    assert tested[: len(known)] == known
    assert len({tuple(moved) for moved in tested}) == len(tested), "a finished probe was run again"


def test_a_package_left_out_moves_everywhere_and_is_not_blamed(world: World) -> None:
    command = (*small(world), *world.probe("app"))
    before = world.bisect(*command).document
    assert [move["package"] for move in before["needed"]] == ["part07", "part19"]
    unknown = world.bisect("skip", "part08", status=2)
    assert "`part08` is not among the" in unknown.stderr
    world.bisect("skip", "part07")
    answer = world.bisect(*command).document
    assert [move["package"] for move in answer["needed"]] == ["part19"]
    assert [move["package"] for move in answer["left_out"]] == ["part07"]
    page = Path(answer["files"]["page"]).read_text(encoding="utf-8")
    for text in ("left out, so made", "part07 1.0 → 1.9", "part19 1.0 → 1.9", "Inside part19", "these two do not go"):
        assert text in page
    world.bisect("skip", "part19")
    both = world.bisect(*command, status=1).document
    assert both["needed"] == []
    assert "by themselves" in Path(both["files"]["page"]).read_text(encoding="utf-8")


def test_a_log_is_replayed_where_its_references_and_environments_are_not(world: World, tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    command = (*small(world), *world.probe("app"))
    answer = world.bisect(*command).document
    taken = tmp_path / "taken.jsonl"
    lines = Path(answer["log"]).read_text().splitlines(keepends=True)
    ends = next(number for number, line in enumerate(lines) if '"event": "ends"' in line)
    half = next(number for number, line in enumerate(lines) if '"event": "set"' in line) + 3
    taken.write_text("".join(lines[:half]))
    world.variables["ENVPIN_HOME"] = str(tmp_path / "other-home")
    again = world.bisect("replay", str(taken), "--json", "--no-prefetch", *world.probe("app")).document
    assert again["needed"] == answer["needed"]
    assert [row["moved"] for row in again["sets"]] == [row["moved"] for row in answer["sets"]]

    without = [line for number, line in enumerate(lines[:half]) if number != ends]
    taken.write_text("".join(without))
    world.variables["ENVPIN_HOME"] = str(tmp_path / "third-home")
    assert "does not hold the locks" in world.bisect("replay", str(taken), status=2).stderr
    changed = lines[ends].replace("1.9", "1.8")
    taken.write_text("".join([*without[:1], changed, *without[1:]]))
    assert "not those that its question names" in world.bisect("replay", str(taken), status=2).stderr


def test_ends_that_are_equal_or_wrong_are_said(world: World) -> None:
    held = world.bisect("--good", "app==1.0", "--bad", "app==1.0", "--with", "x==1", *world.probe("app"), status=2)
    assert "`--with` is for the releases of one package" in held.stderr
    same = world.bisect("--good", "app==1.0", "--bad", "app==1.0", *world.probe("app"), status=2)
    assert "the same versions" in same.stderr
    wrong = world.bisect(
        "--good", "app==1.0,part07==1.9,part19==1.9", "--bad", "app==1.0,part07==1.0,part19==1.9",
        *world.probe("app"), status=1,
    )  # fmt: skip
    assert "to be good, but the probe failed" in wrong.stderr
    assert "these two do not go together" in wrong.stderr
