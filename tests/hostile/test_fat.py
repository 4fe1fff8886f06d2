"""A disk without links, modes, pipes and two cases of letters, as memory sticks are: exFAT, and FAT itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile.situation import Situation, table
from tests.hostile.test_disks import run_on, with_pair
from tests.hostile.test_places_gone import with_lock
from tests.support.mounts import mounted_fat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MERGE = "$E replay merge plain/adapter --base plain/base -o $D/out --max-shard-size 20KB"
_AGAIN = _MERGE.replace("$D/out", "$D/OTHER")
_THERE = "cp -r plain $D/p; $E replay merge $D/p/adapter --base $D/p/base"


@pytest.fixture
def exfat(tmp_path: Path) -> Iterator[Path]:
    with mounted_fat(tmp_path / "disk", "exfat") as folder:
        yield folder


@pytest.fixture
def vfat(tmp_path: Path) -> Iterator[Path]:
    with mounted_fat(tmp_path / "disk", "vfat") as folder:
        yield folder


ROWS = [
    Situation(name="a merge", command=_MERGE, status=0, make=with_pair),
    Situation(name="a merge in memory", command=f"{_MERGE} --engine peft", status=0, make=with_pair),
    Situation(name="base and adapter are there, too", command=f"{_THERE} -o $D/out", status=0, make=with_pair),
    Situation(name="an output that differs in case only", status=5, says="exists", make=with_pair,
              command=f"mkdir $D/Other; touch $D/Other/x; {_AGAIN}"),
    Situation(name="an output inside the base by another case", status=5, says="into which nothing is written",
              command="cp -r plain $D/p; $E replay merge $D/p/adapter --base $D/p/base -o $D/P/BASE/out",
              make=with_pair),
    Situation(name="a name that the disk does not take", command=_MERGE.replace("$D/out", "$D/a:b"), status=2,
              says="a:b", make=with_pair),
    Situation(name="a killed merge goes on", status=0, make=with_pair,
              command=f"{_MERGE} & sleep 2; kill -9 $!; wait; sleep 1; test -e $D/out || {_MERGE} --resume"),
    Situation(name="verify and card", status=0, make=with_pair,
              command=f"{_MERGE} && $E verify $D/out && $E card $D/out && $E report $D/out --html $D/page.html"),
    Situation(name="a recorded run", command="cp -r plain $D/p; cd $D/p; $E record -- sh -c 'exit 7'", status=7,
              make=with_pair),
    Situation(name="check and scan", status=0, make=with_pair,
              command="cp -r plain $D/p; $E check $D/p/adapter --base $D/P/base && $E scan $D"),
    # A virtual environment is made of links.
    Situation(name="a store", status=(0, 2, 3, 4), make=with_lock,
              command="ENVPIN_HOME=$D/s UV_CACHE_DIR=$PWD/c UV_FIND_LINKS= $E env create pylock.toml --offline"),
    # uv makes no lock for its cache there.
    Situation(name="a cache", status=(0, 3), make=with_lock,
              command="ENVPIN_HOME=$PWD/s UV_CACHE_DIR=$D/c UV_FIND_LINKS= $E env create pylock.toml --offline"),
]  # fmt: skip


@table(ROWS, sample=6)
def test_exfat_situation(situation: Situation, exfat: Path, tmp_path: Path) -> None:
    run_on(exfat, situation, tmp_path)


# The only driver of FAT here (fusefat 0.1a) cannot set the length of a file: a merge ends with one error.
@pytest.mark.parametrize("engine", ["stream", "peft"])
def test_fat_ends_with_a_merge_or_one_error(engine: str, vfat: Path, tmp_path: Path) -> None:
    command = f"{_MERGE} --engine {engine}"
    run_on(vfat, Situation(name="FAT", command=command, status=(0, 1, 4), make=with_pair), tmp_path)
    assert (vfat / "out").exists() or not list(vfat.iterdir()), "something is left of a merge that failed"
