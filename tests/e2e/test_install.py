"""The ways of installing that the README names, by the real tools, and that a build gives the same bytes each time."""

from __future__ import annotations

import os
import re
import sys
import zipfile
from pathlib import Path

import pytest

from envpin import __version__
from envpin.core import process
from envpin.envs.uv.command import find_uv
from tests.support.places import ROOT


def ran(*words: object, **extra: str) -> str:
    """Run it far from the checkout's own environment; it must succeed."""
    left_out = {"PYTHONPATH", "VIRTUAL_ENV", "ENVPIN_HOME"}
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    completed = process.run([str(word) for word in words], env={**env, **extra}, cwd=ROOT)
    assert completed.status == 0, completed.stderr
    return completed.stdout


def uv(*words: object, **extra: str) -> str:
    return ran(find_uv().path, *words, **extra)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", folder)
    return folder


@pytest.mark.xdist_group("install")
def test_build_gives_the_same_bytes_twice(dist: Path, tmp_path: Path) -> None:
    uv("build", "--quiet", "--out-dir", tmp_path)
    names = sorted(path.name for path in dist.iterdir() if path.suffix in {".whl", ".gz"})
    assert names == [f"envpin-{__version__}-py3-none-any.whl", f"envpin-{__version__}.tar.gz"]
    for name in names:
        assert (dist / name).read_bytes() == (tmp_path / name).read_bytes(), name


@pytest.mark.xdist_group("install")
def test_wheel_holds_the_matrix_its_locks_and_nothing_around_the_package(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "envpin/data/compat_matrix.toml" in names
    locks = {path.name for path in (ROOT / "lockfiles").iterdir()}
    assert {Path(name).name for name in names if name.startswith("envpin/data/lockfiles/")} == locks
    assert {name.split("/")[0] for name in names} == {"envpin", f"envpin-{__version__}.dist-info"}


@pytest.mark.xdist_group("install")
def test_wheel_works_in_a_fresh_environment_as_command_and_module(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    ran(sys.executable, "-m", "venv", tmp_path / "fresh")
    python = tmp_path / "fresh" / "bin" / "python"
    ran(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    assert ran(python, "-m", "envpin", "--version") == f"envpin {__version__}\n"
    shown = ran(python.with_name("envpin"), "matrix", "show", "llama3.1", ENVPIN_HOME=str(tmp_path / "home"))
    assert "llama3.1" in shown


@pytest.mark.xdist_group("install")
def test_uv_tool_install_leaves_a_command(tmp_path: Path) -> None:
    uv("tool", "install", "--quiet", ROOT, UV_TOOL_DIR=str(tmp_path / "tools"), UV_TOOL_BIN_DIR=str(tmp_path / "bin"))
    assert ran(tmp_path / "bin" / "envpin", "--version") == f"envpin {__version__}\n"


@pytest.mark.xdist_group("install")
def test_uvx_runs_it_from_the_clone(tmp_path: Path) -> None:
    shown = uv("tool", "run", "--from", ROOT, "envpin", "--help", UV_TOOL_DIR=str(tmp_path))
    assert shown.startswith("usage: envpin ")


@pytest.mark.xdist_group("install")
def test_pipx_install_leaves_a_command(tmp_path: Path) -> None:
    places = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin"), "UV_TOOL_DIR": str(tmp_path)}
    uv("tool", "run", "--from", "pipx", "pipx", "install", "--quiet", ROOT, **places)
    assert ran(tmp_path / "bin" / "envpin", "--version") == f"envpin {__version__}\n"


def test_the_version_is_in_one_place() -> None:
    """The build reads it from the package; a citation cannot."""
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert cited[1] == __version__
