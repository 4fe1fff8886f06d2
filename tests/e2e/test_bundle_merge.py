"""A real adapter, bundled with its base: `restore.sh` and `replay merge FILE` give the very files of `replay merge`."""

from __future__ import annotations

import shutil
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from envpin.core import process
from tests.support.adapters import copy
from tests.support.bundles import without_a_network
from tests.support.command import answer
from tests.support.environments import PYTHON

if TYPE_CHECKING:
    from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "envpin-merge.json"}


@pytest.mark.skipif(f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON, reason="the environment's Python")
@pytest.mark.xdist_group("bundle-merge")
def test_a_bundle_merges_without_envpin_and_without_a_network_bit_for_bit(tmp_path: Path) -> None:
    pair = copy("plain", tmp_path)
    answer("replay", "merge", pair / "adapter", "-o", pair / "direct")
    bundle = pair / "bundle.tar"
    made = answer("bundle", pair / "adapter", "-o", bundle, "--with-base")
    assert made["bytes"] < 400_000_000
    shutil.rmtree(pair / "base")

    there = tmp_path / "there"
    there.mkdir()
    with tarfile.open(bundle) as archive:
        archive.extractall(there, filter="data")
    (there / "home").mkdir()
    bare = {"HOME": str(there / "home"), "PATH": "/usr/bin:/bin"}
    script = [
        "sh",
        str(there / "envpin-bundle" / "restore.sh"),
        "-o",
        str(there / "merged"),
        "--python",
        sys.executable,
    ]
    completed = process.run([*without_a_network(), *script], env=bare, cwd=there)
    assert completed.status == 0, completed.stderr
    assert contents(there / "merged") == contents(pair / "direct")

    again = answer("replay", "merge", bundle, "-o", pair / "again", "--offline")["merge"]
    assert again["verdict"]["kind"] == "identical"
    assert contents(pair / "again") == contents(pair / "direct")
