"""The code of a run: what was started and imported, as it was then."""

from __future__ import annotations

import hashlib
import os
import sys
import time
import types
from typing import TYPE_CHECKING

import pytest

from envpin.recording.injected import hook

if TYPE_CHECKING:
    from pathlib import Path

source = hook("source")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in a project that imports one file of it, one from elsewhere, and one of a package."""
    for name in ("scripts/train.py", "lib/prep.py", "venv/site-packages/pkg.py"):
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(name)
    (tmp_path / "away.py").write_text("away")
    paths = {
        "prep": "project/lib/prep.py",
        "pkg": "project/venv/site-packages/pkg.py",
        "away": "away.py",
        "_ops": "_ops.py",
    }
    loaded = {"__main__": "project/scripts/train.py", **paths}
    modules = {name: types.ModuleType(name) for name in loaded}
    for name, made in modules.items():
        made.__file__ = str(tmp_path / loaded[name])
    monkeypatch.setattr(sys, "modules", {"os": os, **modules})
    monkeypatch.chdir(tmp_path / "project")
    for cache in ("_cache", "_started_in", "_early"):
        monkeypatch.setattr(source, cache, {})
    monkeypatch.setattr(source, "_began", time.time() + 10)
    return tmp_path / "project"


def test_code_names_what_no_package_installed_below_the_directory_and_elsewhere(project: Path) -> None:
    found = source.code()
    assert found["files"] == {
        "scripts/train.py": digest("scripts/train.py"),
        "lib/prep.py": digest("lib/prep.py"),
        str(project.parent / "away.py"): digest("away"),
    }
    assert (found["folder"], found["left_out"]) == (str(project), None)
    assert found["path"] == [str(project / "lib"), str(project.parent)]


def test_code_is_imported_from_folders_that_are_told_in_the_order_of_python(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {
        "space.part.deep": "src/space/part/deep.py", "package": "more/package/__init__.py",
        "package.inner": "more/package/inner.py", "renamed": "odd/file.py",
    }  # fmt: skip
    for name, path in paths.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(name)
        made = types.ModuleType(name)
        made.__file__ = str(project / path)
        sys.modules[name] = made
    monkeypatch.setattr(sys, "path", [str(project / "scripts"), str(project / "more"), str(project / "src")])
    assert source.code()["path"][:2] == [str(project / "more"), str(project / "src")]
    assert str(project / "odd") not in source.code()["path"]


def test_code_is_that_of_the_beginning_and_what_changed_since_has_no_digest(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.note_beginning()
    monkeypatch.setattr(source, "_began", time.time() - 10)
    (project / "scripts" / "train.py").write_text("edited while it trains")
    os.utime(project.parent / "away.py", (1, 1))
    monkeypatch.chdir(project.parent)  # as a script may
    found = source.code()
    assert found["sha256"] == digest("scripts/train.py")
    assert found["directory"] == str(project)
    assert set(found["files"]) == {"scripts/train.py", str(project.parent / "away.py")}
    assert found["left_out"] == 1
