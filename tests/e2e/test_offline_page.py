"""The how-to of bundles, as typed, with a real adapter: `restore.sh` and `replay merge FILE` give the same files."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.adapters import copy
from tests.support.bundles import without_a_network
from tests.support.command import variables
from tests.support.environments import PYTHON
from tests.support.toys import Toys
from tests.support.walks import Walk


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "envpin-merge.json"}


@pytest.mark.skipif(f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON, reason="the environment's Python")
@pytest.mark.xdist_group("offline-page")
def test_offline_page_bundles_and_merges_as_it_says(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = variables({"PATH": tools})
    walk = Walk("offline.md", pair, env)
    digest = re.search(r"sha256 ([0-9a-f]{64})", walk.type())
    assert digest is not None
    assert (pair / "adapter.tar").stat().st_size < 400_000_000
    (pair / "base").rename(pair / "away")

    walk.env = {**env, "UV_OFFLINE": "1"}
    walk.type(instead={"HEX": digest[1]})
    record = json.loads((pair / "merged" / "envpin-merge.json").read_text())
    assert record["verdict"]["kind"] == "identical"

    # A Python of the lock's version is all that a machine without envpin has, and no route to anywhere.
    home = pair / "home"
    home.mkdir()
    (home / "python3.11").symlink_to(sys.executable)
    walk.env = {"HOME": str(home), "PATH": f"{home}:/usr/bin:/bin"}
    cut = " ".join([*without_a_network(), "sh envpin-bundle"])
    walk.type(instead={"sh envpin-bundle": cut})
    assert contents(pair / "merged-here") == contents(pair / "merged")
    with Toys(tmp_path, **{"llama3.1": "llama"}) as toys:
        walk.env = {**toys.variables(), "PATH": tools}
        walk.type()
    walk.end()
