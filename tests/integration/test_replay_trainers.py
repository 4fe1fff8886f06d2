"""`replay train` of what trainers do that a script does not: outputs named by the time, processes of their own, and
packages that cannot be had again. Real uv on synthetic wheels; benchmarks/trainers.py runs the real trainers."""

from __future__ import annotations

import functools
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from envpin.manifest.read import FILE_NAME
from envpin.manifest.trace import TRACE_NAME
from tests.support import recorded
from tests.support.bisecting import World
from tests.support.recorded import ENVPIN
from tests.support.simple_index import SimpleIndex
from tests.support.training import shapes
from tests.support.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("replay-trainers")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with SimpleIndex() as index:
        made = World(index, tmp_path_factory.mktemp("trainers"))
        shapes.publish(made)
        yield made


@pytest.fixture(scope="module")
def scripts(world: World) -> Path:
    return shapes.install(world, world.folder / "env")


def record(world: World, scripts: Path, shape: str) -> Path:
    """The folder of the adapter that a recorded run of this shape saved."""
    place = world.folder / f"run-{shape}-{scripts.parent.name}"
    place.mkdir()
    (place / "rows.txt").write_text("red green blue one two\n")
    (place / "settings.json").write_text(json.dumps({"output_dir": "elsewhere", "data": "rows.txt"}))
    name, *words = shapes.COMMANDS[shape]
    ended = subprocess.run([*ENVPIN, "record", "--", str(scripts / name), *words], cwd=place, env=world.variables,
                           capture_output=True, text=True, check=False)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return max((path.parent for path in place.rglob(FILE_NAME)), key=lambda one: one.name)


@pytest.fixture(scope="module")
def runs(world: World, scripts: Path) -> Callable[[str], Path]:
    """The recorded run of a shape, trained once for all tests."""
    return functools.cache(functools.partial(record, world, scripts))


def replay(world: World, folder: Path, out: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    elsewhere = world.folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    words = [str(folder), "-o", str(out), "--trust-script", "--json", *options]
    ended = subprocess.run([*ENVPIN, "replay", "train", *words], cwd=elsewhere, env=world.variables,
                           capture_output=True, text=True, check=False)  # fmt: skip
    return ended.returncode, json.loads(ended.stdout) if ended.stdout else {}, ended.stderr


@pytest.mark.parametrize("shape", sorted(shapes.COMMANDS.keys() - shapes.WITHOUT_TRAINER))
def test_a_trainer_is_repeated_below_the_output_and_nowhere_else(
    world: World, runs: Callable[[str], Path], shape: str, tmp_path: Path
) -> None:
    folder = runs(shape)
    place = world.folder / f"run-{shape}-env"
    before = recorded.contents(place)
    roundabout = folder.parent / ".." / folder.parent.name / folder.name
    status, answer, told = replay(world, roundabout, tmp_path / ".." / tmp_path.name / "again")
    assert (status, answer.get("replay", {}).get("verdict")) == (0, "identical"), told
    assert (answer["replay"]["adapter"], answer["replay"]["steps"]) == ("identical", 4)
    assert recorded.contents(place) == before, "nothing is written next to what is repeated"
    assert (tmp_path / "again" / "run" / TRACE_NAME).is_file()
    (weights,) = (tmp_path / "again" / "run").rglob("adapter_model.safetensors")
    assert weights.read_bytes() == (folder / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("save", ["half", "one"])
def test_a_loop_without_a_trainer_is_repeated_and_each_of_its_saves_compared(
    world: World, runs: Callable[[str], Path], save: str, tmp_path: Path
) -> None:
    place = world.folder / "run-loop-env"
    folder = runs("loop").parent / save
    before = recorded.contents(place)
    status, answer, told = replay(world, folder, tmp_path / "again")
    assert (status, answer.get("replay", {}).get("verdict")) == (0, "identical"), told
    assert recorded.contents(place) == before, "nothing is written next to what is repeated"
    weights = tmp_path / "again" / "run" / "adapter_model.safetensors"
    assert weights.read_bytes() == (folder / "adapter_model.safetensors").read_bytes()


def test_a_prefix_of_a_trainer_named_by_the_time_is_compared(
    world: World, runs: Callable[[str], Path], tmp_path: Path
) -> None:
    status, answer, told = replay(world, runs("times"), tmp_path / "again", "--steps", "2")
    assert (status, answer["replay"]["verdict"], answer["replay"]["steps"]) == (0, "identical", 2), told


def test_packages_that_cannot_be_had_again_are_named_and_left_out_where_asked(world: World, tmp_path: Path) -> None:
    make_wheel(world.folder / "wheels", "vanished", "1.0")
    make_wheel(world.folder / "wheels", "sourceonly", "2.0")
    world.index.add("sourceonly-2.0.tar.gz", b"no wheel", uploaded="2024-01-01T00:00:00Z")
    folder = record(world, shapes.install(world, world.folder / "more", "vanished", "sourceonly"), "settings")
    status, answer, told = replay(world, folder, tmp_path / "again")
    assert status == 3, told
    message = answer["error"]["message"]
    assert "vanished 1.0: not on the index" in message
    assert "sourceonly 2.0: the index has no wheel of it" in message
    assert not (tmp_path / "again").exists()

    status, answer, told = replay(world, folder, tmp_path / "again", "--skip")
    assert (status, answer["replay"]["verdict"]) == (0, "identical"), told
    assert "left out: vanished 1.0, not on the index" in told
    assert "left out: sourceonly 2.0, the index has no wheel of it" in told
    drift = json.dumps(answer["replay"])
    assert "vanished" in drift
    assert "sourceonly" in drift

    # The same environment by itself: for a command, and as a lock that is written without what is missing.
    code = "import acme, importlib.util as util; print(util.find_spec('vanished'))"
    for options, status in (((), 3), (("--skip",), 0)):
        ran = envpin(world, "run", str(folder), "--training", *options, "--", "python", "-c", code)
        assert (ran.returncode, ran.stdout.strip()) == (status, "" if status else "None"), ran.stderr
    locked = envpin(world, "lock", str(folder), "--training", "--skip", "-o", str(tmp_path / "pylock.training.toml"))
    assert locked.returncode == 0, locked.stderr
    assert "left out: sourceonly 2.0, the index has no wheel of it" in locked.stderr
    text = (tmp_path / "pylock.training.toml").read_text()
    assert 'name = "acme"' in text
    assert "vanished" not in text


def envpin(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ENVPIN, *words], cwd=world.folder, env=world.variables, capture_output=True, text=True,
                          check=False)  # fmt: skip
