"""Merges and builds on a disk that is full, fills up, is another one, turns read-only or goes away meanwhile."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from envpin.envs.store.store import Store
from envpin.replay.reverify import reverify
from tests.hostile.situation import Situation, endure, table
from tests.hostile.test_places_gone import with_lock
from tests.support.adapters import copy
from tests.support.mounts import mounted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The plain base has 232 kB of weights. `$D` is the other disk.
_MERGE = "$E replay merge plain/adapter --base plain/base -o $D/out --max-shard-size 20KB"
_IN_MEMORY = f"{_MERGE} --engine peft"
_FILL = "dd if=/dev/zero of=$D/fill bs=1k count=$((4096 - {left})) 2>/dev/null; "
_READ_ONLY = "until mount -o remount,ro $D 2>/dev/null; do sleep 0.01; kill -0 $! 2>/dev/null || break; done"
_BUILD = "export ENVPIN_HOME=$D/s UV_CACHE_DIR=$D/c UV_FIND_LINKS=; $E env create pylock.toml --offline"
ANY = (0, 1, 2, 3, 4, 5)


def with_pair(folder: Path) -> None:
    copy("plain", folder)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "4m") as folder:
        yield folder


FULL = [
    Situation(name=f"{left} kB are left for {what}", command=_FILL.format(left=left) + command, status=4,
              says="full|[Nn]o space|room|needs", make=with_pair)
    for what, command in {"shards": _MERGE, "a merge in memory": _IN_MEMORY}.items()
    for left in (0, 4, 24, 80, 160, 240)
]  # fmt: skip
OTHER = [
    Situation(name="the output is on another disk", command=_MERGE, status=0, make=with_pair),
    Situation(name="the output of a merge in memory is on another disk", command=_IN_MEMORY, status=0, make=with_pair),
    Situation(name="base and adapter are on another disk, read only", status=0, make=with_pair,
              command="mv plain $D/; mount -o remount,ro $D; "
              "$E replay merge $D/plain/adapter --base $D/plain/base -o out"),
    Situation(name="temporary files are on another disk", status=0, make=with_pair,
              command="mkdir $D/t; TMPDIR=$D/t $E replay merge plain/adapter --base plain/base -o out; s=$?; "
              '[ -z "$(ls $D/t)" ] || exit 99; exit $s'),
    Situation(name="the output is behind a link to another disk", status=0, make=with_pair,
              command=f"ln -s $D there; {_MERGE.replace('$D/out', 'there/out')}"),
    Situation(name="the store is on another disk than the cache", status=0, make=with_lock,
              command=_BUILD.replace("$D/c", "$PWD/c")),
    Situation(name="the cache is on another disk than the store", status=0, make=with_lock,
              command=_BUILD.replace("$D/s", "$PWD/s")),
    Situation(name="the output is on a disk that is read only", status=(2, 4), says="[Rr]ead-only|cannot be written",
              command=f"mount -o remount,ro $D; {_MERGE}", make=with_pair),
    Situation(name="the store is on a disk that is read only", status=(2, 4), says="[Rr]ead-only|cannot be written",
              command=f"mount -o remount,ro $D; {_BUILD}", make=with_lock),
    Situation(name="a manifest is for a disk that is read only", status=ANY, make=with_pair,
              command="cp -r plain/adapter $D/a; rm -f $D/a/envpin.json; mount -o remount,ro $D; "
              "$E record --attach $D/a --python $PY"),
    Situation(name="a recorded run is on a disk that is read only", status=7, make=with_pair,
              command="cp -r plain/adapter $D/a; mount -o remount,ro $D; cd $D; $E record -- sh -c 'exit 7'"),
    Situation(name="a finished store turns read only", status=0, make=with_lock,
              command=f"{_BUILD} && mount -o remount,ro $D && $E env list && $E env verify && "
              "$E env path pylock.toml && $E run pylock.toml --offline -- true"),
]  # fmt: skip
MEANWHILE = [
    *(
        Situation(name=f"the disk of a merge {what} after {moment} s", status=ANY, make=with_pair,
                  command=f"{_MERGE} & sleep {moment}; {event}; wait $!")
        for what, event in {"fills": "cat /dev/zero >$D/fill 2>/dev/null", "turns read only": _READ_ONLY,
                            "goes away": "umount -l $D"}.items()
        for moment in (0.5, 1, 2, 3, 4, 6)
    ),
    *(
        Situation(name=f"the disk of a store {what} after {moment} s", status=ANY, make=with_lock,
                  command=f"({_BUILD}) & sleep {moment}; {event}; wait $!")
        for what, event in {"fills": "cat /dev/zero >$D/fill 2>/dev/null", "turns read only": _READ_ONLY,
                            "goes away": "umount -l $D"}.items()
        for moment in (0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
    ),
]  # fmt: skip


def run_on(disk: Path, situation: Situation, folder: Path) -> str:
    """Endure it with `$D` and with time for a first worker; what is there afterwards is whole."""
    own = folder / "own"
    own.mkdir()
    said = endure(replace(situation, command=f"export D={disk}; {situation.command}", patience=300.0), own)
    for out in (disk / "out", own / "work" / "out"):
        assert not out.exists() or reverify(out).intact, said
        assert not (situation.status == 0 and "replay merge" in situation.command) or (
            (disk / "out").exists() or (own / "work" / "out").exists()
        )
    for root in (disk / "s", own / "work" / "s"):
        store = Store(root)
        if (root / "environments").is_dir():
            there = {one.name for one in (root / "environments").iterdir() if not one.name.startswith(".")}
            assert there == {one.key for one in store.list()}, "an environment that is not whole"
    return said


@table(FULL, sample=5)
def test_a_merge_on_a_full_disk_says_so_and_goes_on_with_room(situation: Situation, disk: Path, tmp_path: Path) -> None:
    run_on(disk, situation, tmp_path)
    assert not (disk / "out").exists()
    kept = [one for one in disk.iterdir() if one.name != "fill"]
    assert not [one for one in kept if not list(one.glob("*.safetensors"))], "kept, and nothing to go on from"
    (disk / "fill").unlink(missing_ok=True)
    again = replace(situation, status=0, says="", command=f"{_MERGE} --resume", make=with_pair)
    (tmp_path / "again").mkdir()
    run_on(disk, again, tmp_path / "again")
    record = json.loads((disk / "out" / "envpin-merge.json").read_text(encoding="utf-8"))
    assert {path.name for path in disk.iterdir()} == {"out"}
    assert {path.name for path in (disk / "out").iterdir()} == {*record["files"], "envpin-merge.json"}


@table(OTHER, sample=4)
def test_other_disk_situation(situation: Situation, disk: Path, tmp_path: Path) -> None:
    run_on(disk, situation, tmp_path)


@table(MEANWHILE, sample=9)
def test_a_disk_changes_meanwhile(situation: Situation, disk: Path, tmp_path: Path) -> None:
    run_on(disk, situation, tmp_path)
    if "read only" in situation.name:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
