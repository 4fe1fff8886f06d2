"""A bundle that brings its Python along restores where there is none: no envpin, no network, no Python on PATH."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from envpin.core import process
from tests.support.bundles import small_spec, without_a_network, without_python
from tests.support.command import envpin
from tests.support.movable_python import MINOR, archived, movable_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the Python is made for Linux")


def lock_in(folder: Path) -> Path:
    lock = folder / "pylock.small.toml"
    lock.write_text(small_spec(folder).lock.text)
    return lock


def test_a_bundle_with_python_restores_where_there_is_none(tmp_path: Path) -> None:
    made = movable_python(tmp_path / "made")
    listed = archived(made, tmp_path)
    shutil.rmtree(made)
    lock, installed = lock_in(tmp_path), tmp_path / "pythons"
    variables = {
        "ENVPIN_HOME": str(tmp_path / "store"), "UV_PYTHON_INSTALL_DIR": str(installed), "HOME": str(tmp_path),
        "UV_PYTHON_DOWNLOADS_JSON_URL": listed.as_uri(),
    }  # fmt: skip
    first = envpin("bundle", lock, "-o", tmp_path / "a.tar", "--with-python", env=variables)
    assert first.status == 0, first.stderr
    assert not (tmp_path / ".local" / "bin").exists(), "a Python for a bundle is none of the user's"
    assert envpin("bundle", lock, "-o", tmp_path / "b.tar", "--with-python", "--offline", env=variables).status == 0
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    verified = envpin("bundle", "verify", tmp_path / "a.tar", env=variables)
    assert "2 wheels, Python\n" in verified.stdout
    shutil.rmtree(installed)  # what is restored must not need where it came from

    there, home = tmp_path / "there", tmp_path / "there" / "home"
    home.mkdir(parents=True)
    bare = {"HOME": str(home), "PATH": without_python(tmp_path / "tools")}
    shell, tar = shutil.which("sh") or "sh", shutil.which("tar") or "tar"
    assert process.run([tar, "-xf", tmp_path / "a.tar"], cwd=there).status == 0
    script = [shell, str(there / "envpin-bundle" / "restore.sh"), "--env", str(there / "env")]
    completed = process.run([*without_a_network(), *script], env=bare, cwd=there)
    assert completed.status == 0, completed.stderr
    assert not list((there / "envpin-bundle").rglob("*.pyc"))
    script = [shell, str(there / "envpin-bundle" / "restore.sh"), "--env", str(there / "env")]
    assert process.run(script, env=bare, cwd=there).status == 0, "a second time it is there already"
    shutil.rmtree(there / "envpin-bundle")
    ask = "import alpha, ssl, sys; alpha.main(); print(sys.base_prefix, sys.version.split()[0].rpartition('.')[0])"
    said = process.run([there / "env" / "bin" / "python", "-I", "-c", ask], env=bare, cwd=there)
    assert said.stdout.split("\n")[:2] == ["alpha speaks", f"{there / 'env' / 'python'} {MINOR}"]


def test_a_python_that_cannot_be_moved_is_not_bundled(tmp_path: Path) -> None:
    if not list(Path(sys.base_prefix, "lib").glob("libpython*.so.*")):
        pytest.skip("this Python has its library inside the program")
    movable_python(tmp_path / "pythons", fixed=True)
    variables = {"ENVPIN_HOME": str(tmp_path / "store"), "UV_PYTHON_INSTALL_DIR": str(tmp_path / "pythons")}
    out = tmp_path / "a.tar"
    refused = envpin("bundle", lock_in(tmp_path), "-o", out, "--with-python", "--offline", env=variables)
    assert refused.status == 5
    assert "cannot be moved: from another place it still uses" in refused.stderr
    assert f"uv python install {MINOR}" in refused.stderr
    assert not out.exists()
