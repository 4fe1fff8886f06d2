"""Stores that go, move or fill up while they are used, somebody else's, and outputs on other file systems."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.hostile.situation import Situation, endure, table
from tests.hostile.test_inputs import plain
from tests.support.mounts import mounted
from tests.support.wheels import lock_of, make_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANY = (0, 1, 2, 3, 4, 5)
_STORE = "export ENVPIN_HOME=$PWD/s UV_CACHE_DIR=$PWD/c UV_FIND_LINKS=; "
_BUILD = "$E env create pylock.toml --offline"
# What happens to the store while an environment is built in it, or is used.
_EVENTS = {
    "is deleted": "rm -rf s",
    "is moved": "mv s t",
    "is replaced by a file": "rm -rf s; touch s",
    "is replaced by a link to nowhere": "rm -rf s; ln -s nowhere s",
    "loses what is being built": "rm -rf s/environments/.building",
    "loses its locks": "rm -rf s/environments/.locks",
    "gets a pipe for a receipt": "for one in s/environments/.building/*; do mkfifo $one/envpin-receipt.json; done",
}
_MOMENTS = ("0", "0.15", "0.3", "0.45", "0.6", "0.9")
_USES = {
    "env list": "env list", "env verify": "env verify", "env prune": "env prune", "env path": "env path pylock.toml",
    "run": "run pylock.toml --offline -- true", "env create": "env create pylock.toml --offline",
}  # fmt: skip
_ROOT = os.geteuid() == 0 if hasattr(os, "geteuid") else False


def with_lock(folder: Path) -> None:
    """A lock of four wheels with enough files that building takes a while."""
    plain(folder)
    wheels = [
        make_wheel(folder / "wheels", f"part{number}", "1.0",
                   files={f"part{number}/m{at}.py": f"x = {at}\n" * 50 for at in range(60)})
        for number in range(4)
    ]  # fmt: skip
    (folder / "pylock.toml").write_text(lock_of(*wheels), encoding="utf-8")


ROWS = [
    *(
        Situation(name=f"a store {what} {moment} s into a build", status=ANY, make=with_lock,
                  command=f"{_STORE}{_BUILD} & sleep {moment}; {event} 2>/dev/null; wait $!")
        for what, event in _EVENTS.items()
        for moment in _MOMENTS
    ),
    *(
        Situation(name=f"a store {what} before {use}", status=ANY, make=with_lock,
                  command=f"{_STORE}{_BUILD} >/dev/null; {event} 2>/dev/null; $E {command}")
        for what, event in _EVENTS.items()
        for use, command in _USES.items()
    ),
]  # fmt: skip


@table(ROWS, sample=14)
def test_store_situation(situation: Situation, tmp_path: Path) -> None:
    endure(situation, tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for 300 kB."""
    with mounted(tmp_path / "small", "300k") as folder:
        yield folder


_FILL = "cat /dev/zero >$SMALL/x 2>/dev/null; "
FULL: dict[str, tuple[str, int | tuple[int, ...], str]] = {
    "a store without room": ("ENVPIN_HOME=$SMALL/s $E env create pylock.toml --offline", 4, "full"),
    "a manifest without room": (
        f"cp -r adapter $SMALL/a; {_FILL} $E record --attach $SMALL/a --python $PY", (1, 2, 4), ""
    ),
    "a page without room": (f"{_FILL} $E scan . --html $SMALL/page.html", (2, 4), ""),
    "temporary files without room": (f"{_FILL} TMPDIR=$SMALL $E matrix list", 0, ""),
    "a recorded run without room": (f"{_FILL} TMPDIR=$SMALL $E record -- sh -c 'exit 7'", 7, ""),
    "another page without room": (f"{_FILL} $E matrix html -o $SMALL/m.html", (2, 4), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FULL)
def test_full_disk_situation(name: str, small: Path, tmp_path: Path) -> None:
    command, status, says = FULL[name]
    work = tmp_path / "one"
    work.mkdir()
    setup = f"export SMALL={small} UV_CACHE_DIR=$PWD/c UV_FIND_LINKS=; "
    endure(Situation(name=name, command=setup + command, status=status, says=says, make=with_lock), work)
    left = [path.name for path in small.rglob("*") if ".tmp" in path.name or path.name == "page.html"]
    assert left == []
    assert not list(small.glob("s/environments/[0-9a-f]*")), "an environment that is not whole"


@pytest.mark.skipif(not _ROOT or shutil.which("setpriv") is None, reason="only root may become somebody else")
@pytest.mark.parametrize("command", [*_USES.values(), "scan ."])
def test_a_store_of_somebody_else_is_read_or_refused(command: str, tmp_path: Path) -> None:
    """Nobody's envpin on root's store: it says so, and leaves everything as it is."""
    python = "/usr/bin/python3.11"
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    site = os.path.join(sys.prefix, "lib", f"python3.{sys.version_info.minor}", "site-packages")  # noqa: PTH118
    source = os.path.dirname(os.path.dirname(sys.modules["envpin"].__path__[0]))  # noqa: PTH120
    probe = f"{nobody} env PYTHONPATH={source}/src:{site} {python} -m envpin --version"
    ready = subprocess.run(["bash", "-c", probe], capture_output=True, check=False, cwd="/").returncode == 0
    if not ready:
        pytest.skip("nobody cannot run this checkout")
    tmp_path.chmod(0o755)
    for parent in [*tmp_path.parents][:2]:
        parent.chmod(0o755)
    situation = Situation(
        name=command, status=ANY, make=with_lock,
        command=f"{_STORE}{_BUILD} >/dev/null || exit 99; before=$(ls -lR s | md5sum); mkdir h; chmod 777 h; "
        f"PYTHONPATH={source}/src:{site} HOME=$PWD/h TMPDIR=$PWD/h {nobody} {python} -m envpin {command}; s=$?; "
        'rm -rf h; [ "$before" = "$(ls -lR s | md5sum)" ] || exit 98; exit $s',
    )  # fmt: skip
    endure(situation, tmp_path)
