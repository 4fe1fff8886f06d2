"""The how-to of bundles, as typed, with a real adapter, its base and a Python: `replay merge FILE`, and `restore.sh`
where there is no other Python and no network, give the very files of `replay merge`."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.adapters import copy
from tests.support.bundles import without_a_network, without_python
from tests.support.command import answer, variables
from tests.support.environments import PYTHON
from tests.support.movable_python import movable_python
from tests.support.toys import Toys
from tests.support.walks import Walk


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "envpin-merge.json"}


@pytest.mark.skipif(f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON, reason="the environment's Python")
@pytest.mark.xdist_group("offline-page")
def test_offline_page_bundles_and_merges_as_it_says(tmp_path: Path) -> None:
    pair, pythons = copy("plain", tmp_path), tmp_path / "pythons"
    answer("replay", "merge", pair / "adapter", "-o", pair / "direct")
    movable_python(pythons)
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = variables({"PATH": tools})
    walk = Walk("offline.md", pair, {**env, "UV_PYTHON_INSTALL_DIR": str(pythons)})
    digest = re.search(r"sha256 ([0-9a-f]{64})", walk.type(instead={"--with-base": "--with-base --with-python"}))
    assert digest is not None
    assert (pair / "adapter.tar").stat().st_size < 400_000_000
    shutil.rmtree(pair / "base")
    shutil.rmtree(pythons)

    walk.env = {**env, "UV_OFFLINE": "1"}
    walk.type(instead={"HEX": digest[1], "-o merged": "-o merged --offline"})
    record = json.loads((pair / "merged" / "envpin-merge.json").read_text())
    assert record["verdict"]["kind"] == "identical"
    assert contents(pair / "merged") == contents(pair / "direct")

    # A machine without envpin, without a Python, and with no route to anywhere.
    (pair / "home").mkdir()
    walk.env = {"HOME": str(pair / "home"), "PATH": "/usr/bin:/bin"}
    bare = [f"PATH={without_python(tmp_path / 'tools')}", *without_a_network(), "sh envpin-bundle"]
    walk.type(instead={"sh envpin-bundle": " ".join(bare)})
    assert contents(pair / "merged-here") == contents(pair / "direct")

    with Toys(tmp_path, **{"llama3.1": "llama"}) as toys:
        walk.env = {**toys.variables(), "PATH": tools}
        walk.type()
    walk.end()
