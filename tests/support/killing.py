"""Commands that are killed at random moments, over and over, and what may be left of them: nothing.

After each kill no result may be half there, and after a second none of envpin's processes may live. Now and then
the command is run to its end, as somebody would who goes on: its result must be whole, and nothing that the killed ones
left may be there any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from envpin.bisect.session.history import read_records
from envpin.core.errors import EnvpinError
from envpin.core.journal import read_journal
from envpin.envs.store.store import Store
from envpin.replay.reverify import reverify
from tests.support.adapters import copy
from tests.support.bisecting import World
from tests.support.command import arguments, variables
from tests.support.processes import outlived, survivors
from tests.support.simple_index import SimpleIndex
from tests.support.sweeping import PLAIN, Place
from tests.support.wheels import lock_of, make_wheel

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping
    from pathlib import Path

_UNFINISHED = (".envpin-*.tmp", ".envpin.json.*.tmp")


class Victim:
    """One command in a folder of its own, and how to tell whether its result is whole."""

    name: ClassVar[str]
    # A whole run follows on so many killed ones: it finds what each of them has left.
    every: ClassVar[int] = 6

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self.command: list[str] = []
        self.variables: Mapping[str, str] = variables()

    def start(self) -> subprocess.Popen[bytes]:
        environment = {**self.variables, "TMPDIR": str(self.temporary)}
        return subprocess.Popen(
            self.command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def kill(self, child: subprocess.Popen[bytes]) -> None:
        """The controller alone: who it has started must see to its own end."""
        child.kill()

    def halves(self) -> list[str]:
        """What is there and not whole."""
        return []

    def finished(self) -> list[str]:
        """What is wrong with the result of a whole run; makes the folder ready for the next one."""
        return []

    def unfinished(self) -> list[str]:
        """What killed runs have left."""
        found = [str(path) for path in self.temporary.iterdir()]
        found += [str(path) for pattern in _UNFINISHED for path in self.folder.rglob(pattern)]
        found += [str(path) for path in self.folder.rglob("environments/.building/*")]
        return found

    def close(self) -> None:
        """Ends what the victim needs to run."""


def _unsound(store: Store) -> list[str]:
    """Environments that are there and not whole."""
    folder = store.root / "environments"
    names = [one.name for one in folder.iterdir() if not one.name.startswith(".")] if folder.is_dir() else []
    sound = {one.key for one in store.list()}
    found = [f"{name} has no receipt" for name in names if name not in sound]
    return found + [f"{one.key}: {damage}" for one in store.list() for damage in store.verify(one)]


class CreateVictim(Victim):
    name = "env create"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        files = 20
        wheels = [
            make_wheel(folder / "wheels", f"part{number}", "1.0",
                       files={f"part{number}/m{at}.py": f"x = {at}\n" * 50 for at in range(files)})
            for number in range(6)
        ]  # fmt: skip
        (folder / "pylock.toml").write_text(lock_of(*wheels), encoding="utf-8")
        self.variables = {**variables(), "ENVPIN_HOME": str(folder / "store"), "UV_CACHE_DIR": str(folder / "cache"),
                          "UV_FIND_LINKS": ""}  # fmt: skip
        self.store = Store(folder / "store")
        self.command = arguments("env", "create", "pylock.toml", "--offline")

    def halves(self) -> list[str]:
        return _unsound(self.store)

    def finished(self) -> list[str]:
        found = _unsound(self.store) + ([] if len(self.store.list()) == 1 else ["no environment was built"])
        for one in self.store.list():
            shutil.rmtree(one.path)
        return found


class VerifyVictim(CreateVictim):
    name = "env verify"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        subprocess.run(self.command, env=dict(self.variables), cwd=folder, check=True, capture_output=True)
        (self.one,) = self.store.list()
        self.command = arguments("env", "verify", self.one.key)

    def finished(self) -> list[str]:
        found = _unsound(self.store)
        (self.one.path / ".envpin-hashed").unlink(missing_ok=True)
        return found


# What stands for peft, and a training that saves four times.
_PEFT = """
import json, os
class PeftModel:
    peft_config = {"default": None}
    def save_pretrained(self, save_directory, **options):
        folder = save_directory
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "adapter_model.safetensors"), "wb") as stream:
            stream.write(b"\\2\\0\\0\\0\\0\\0\\0\\0{}")
        with open(os.path.join(folder, "adapter_config.json"), "w") as stream:
            json.dump({"peft_type": "LORA", "r": 8, "base_model_name_or_path": "x"}, stream)
"""
_TRAINING = """
import os, time
from peft.peft_model import PeftModel
for number in range(COUNT):
    PeftModel().save_pretrained("out/checkpoint-%d" % number)
    time.sleep(PAUSE)
open("out/trained", "w").close()
"""


def write_training(folder: Path, count: int, *, pause: float) -> None:
    """A `train.py` in the folder that saves an adapter so many times below `out`."""
    (folder / "peft").mkdir()
    (folder / "peft" / "__init__.py").touch()
    (folder / "peft" / "peft_model.py").write_text(_PEFT, encoding="utf-8")
    script = _TRAINING.replace("COUNT", str(count)).replace("PAUSE", str(pause))
    (folder / "train.py").write_text(script, encoding="utf-8")


class RecordVictim(Victim):
    """Every second time the whole group is killed; else the controller alone, and the run goes on to its own end."""

    name = "record"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        write_training(folder, 4, pause=0.02)
        self.command = arguments("record", "--", sys.executable, "train.py")
        self._kills = 0

    def kill(self, child: subprocess.Popen[bytes]) -> None:
        self._kills += 1
        if self._kills % 2:
            os.killpg(child.pid, signal.SIGKILL)
            return
        child.kill()
        child.wait()
        deadline = time.monotonic() + 60
        while outlived(child.pid, within=0.05) and time.monotonic() < deadline:
            pass

    def halves(self) -> list[str]:
        found = []
        for path in self.folder.glob("out/*/envpin.json"):
            try:
                json.loads(path.read_text(encoding="utf-8"))["schema"]
            except (ValueError, KeyError) as error:
                found.append(f"{path}: {error!r}")
        return found

    def finished(self) -> list[str]:
        found = self.halves()
        made = len(list(self.folder.glob("out/*/envpin.json")))
        found += [] if made == 4 and (self.folder / "out" / "trained").exists() else [f"{made} manifests"]
        shutil.rmtree(self.folder / "out")
        return found


class BisectVictim(Victim):
    name = "bisect"
    every = 10

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.index = SimpleIndex()
        self.index.__enter__()
        self.world = World(self.index, folder)
        self.world.series("pkg", 12, 7)
        search = ["pkg", "--good", "1.0", "--bad", "1.11", "--json", *self.world.probe("pkg")]
        self.command = arguments("bisect", *search)
        # The index is a thread of ours, and a machine may stand still for longer than the 30 s that uv waits for it.
        self.variables = {**self.world.variables, "UV_HTTP_TIMEOUT": "300"}

    def halves(self) -> list[str]:
        found = _unsound(Store(self.folder / "home"))
        for path in self.world.logs():
            try:
                read_records(path)
            except EnvpinError as error:
                found.append(str(error))
        return found

    def finished(self) -> list[str]:
        found = self.halves()
        concluded = [one for one in self.world.records("conclusion") if one["kind"] == "named"]
        found += [] if concluded else ["the search has not concluded"]
        shutil.rmtree(self.folder / "home")
        return found

    def close(self) -> None:
        self.index.__exit__(None, None, None)


class SweepVictim(Victim):
    name = "sweep"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.place = Place(folder)
        self.command = arguments(*self.place.words(*PLAIN[:3]))
        self.variables = {**variables(), **self.place.env}

    def halves(self) -> list[str]:
        found = _unsound(Store(self.folder / "store"))
        if self.place.journal.exists():
            try:
                read_journal(self.place.journal)
            except EnvpinError as error:
                found.append(str(error))
        twice = [name for name, count in Counter(one["family"] for one in self._outcomes()).items() if count > 1]
        return found + [f"{name} was tried twice" for name in twice]

    def _outcomes(self) -> list[dict[str, str]]:
        if not self.place.journal.exists():
            return []
        return [
            {"family": str(one["family"])} for one in read_journal(self.place.journal)[0] if one["event"] == "outcome"
        ]

    def finished(self) -> list[str]:
        found = self.halves() + ([] if len(self._outcomes()) == 3 else ["an outcome is missing"])
        shutil.rmtree(self.folder / "store" / "verify")
        return found


class MergeVictim(Victim):
    name = "merge"
    every = 10

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pair = copy("plain", folder)
        self.outputs = folder / "outputs"
        self.outputs.mkdir()
        self.command = arguments("replay", "merge", self.pair / "adapter", "-o", self.outputs / "merged",
                                 "--max-shard-size", "20KB")  # fmt: skip
        self._inputs = self._listing()

    def _listing(self) -> list[str]:
        return sorted(str(path) for path in self.pair.rglob("*"))

    def halves(self) -> list[str]:
        out = self.outputs / "merged"
        found = [] if not out.exists() or reverify(out).intact else ["the merged model is not intact"]
        if not found:
            shutil.rmtree(out, ignore_errors=True)  # killed after its rename: the next merge would refuse the name
        return found + ([] if self._listing() == self._inputs else ["base or adapter has other files now"])

    def finished(self) -> list[str]:
        found = [] if (self.outputs / "merged").exists() else ["no merged model"]
        return found + self.halves()

    def unfinished(self) -> list[str]:
        return super().unfinished() + [str(path) for path in self.outputs.iterdir() if path.name != "merged"]


VICTIMS: tuple[type[Victim], ...] = (
    CreateVictim, VerifyVictim, RecordVictim, BisectVictim, SweepVictim, MergeVictim
)  # fmt: skip


class Tally(Counter[str]):
    """`kills`, `ended` (before its kill), `whole` runs, and what went wrong: `halves`, `outlived`, `left`, `faults`."""

    WRONG = ("halves", "outlived", "left", "faults")

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    @property
    def is_good(self) -> bool:
        return not any(self[name] for name in self.WRONG)

    def note(self, kind: str, lines: list[str]) -> None:
        self[kind] += len(lines)
        self.said += [f"{kind}: {line}" for line in lines]


def kill_often(victim: Victim, kills: int, source: random.Random) -> Tally:
    """Kill `victim` that many times, each at a moment drawn from the time that a whole run takes."""
    tally = Tally()
    longest = _whole(victim, tally)
    while tally["kills"] < kills and tally["ended"] < 3 * kills + 10:
        child = victim.start()
        try:
            child.wait(timeout=source.uniform(0.02, longest))
            output = child.communicate()[0]
            tally["ended"] += 1
            tally.note("faults", [] if child.returncode == 0 else [output.decode(errors="replace")[-2000:]])
            tally.note("faults", victim.finished())
            longest *= 0.9
            continue
        except subprocess.TimeoutExpired:
            victim.kill(child)
            child.wait()
        tally["kills"] += 1
        if left := survivors(child.pid):
            tally.note("outlived", [f"{victim.name}: {line}" for line in left])
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        if child.stdout is not None:
            child.stdout.close()
        tally.note("halves", victim.halves())
        if tally["kills"] % victim.every == 0 or tally["kills"] == kills:
            longest = 0.5 * longest + 0.5 * _whole(victim, tally)
    return tally


def _whole(victim: Victim, tally: Tally) -> float:
    """A run to its end, after which nothing may be left; how long it took."""
    began = time.monotonic()
    child = victim.start()
    output = child.communicate()[0].decode(errors="replace")
    took = time.monotonic() - began
    tally["whole"] += 1
    tally.note("left", victim.unfinished())
    tally.note("faults", victim.finished() + ([] if child.returncode == 0 else [output[-2000:]]))
    return took
