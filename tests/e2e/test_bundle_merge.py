"""A real adapter, bundled with its base and a Python: `restore.sh`, where there is no other Python and no network, and
`replay merge FILE` give the very files of `replay merge`."""

from __future__ import annotations

import shutil
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from envpin.core import process
from tests.support.adapters import copy
from tests.support.bundles import without_a_network, without_python
from tests.support.command import answer
from tests.support.environments import PYTHON
from tests.support.movable_python import movable_python

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
    movable_python(tmp_path / "pythons")
    home = {"UV_PYTHON_INSTALL_DIR": str(tmp_path / "pythons")}
    made = answer("bundle", pair / "adapter", "-o", bundle, "--with-base", "--with-python", env=home)
    assert made["bytes"] < 400_000_000
    shutil.rmtree(pair / "base")
    shutil.rmtree(tmp_path / "pythons")

    there = tmp_path / "there"
    there.mkdir()
    with tarfile.open(bundle) as archive:
        archive.extractall(there, filter="data")
    (there / "home").mkdir()
    bare = {"HOME": str(there / "home"), "PATH": without_python(tmp_path / "tools")}
    shell = shutil.which("sh") or "sh"
    script = [shell, str(there / "envpin-bundle" / "restore.sh"), "-o", str(there / "merged")]
    completed = process.run([*without_a_network(), *script], env=bare, cwd=there)
    assert completed.status == 0, completed.stderr
    assert contents(there / "merged") == contents(pair / "direct")

    again = answer("replay", "merge", bundle, "-o", pair / "again", "--offline")["merge"]
    assert again["verdict"]["kind"] == "identical"
    assert contents(pair / "again") == contents(pair / "direct")
