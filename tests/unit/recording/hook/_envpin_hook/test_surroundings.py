"""The distributions around a run, read without importlib.metadata."""

from __future__ import annotations

import importlib.metadata
import json
import re
import types
from typing import TYPE_CHECKING

from envpin.recording.injected import hook

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
surroundings = hook("surroundings")


def test_distributions_are_those_of_importlib() -> None:
    expected = {
        re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.version for one in importlib.metadata.distributions()
    }
    found = {one["name"]: one for one in surroundings.distributions()}
    assert {name: one["version"] for name, one in found.items()} == expected
    assert found["envpin"]["editable"] is True
    assert found["envpin"]["direct_url"].startswith("file://")


def test_distributions_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def distribution(folder: str, **files: str) -> None:
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name.replace("_json", ".json")).write_text(text)

    distribution("Fancy_Name.x-1.0+cu121.dist-info")
    vcs = {"url": "https://me:pw@host/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    distribution("from_git-2.0.dist-info", direct_url_json=json.dumps(vcs))
    archive = {"url": "https://host/x.whl", "archive_info": {"hashes": {"sha256": "aa"}}}
    distribution("archive-3.dist-info", direct_url_json=json.dumps(archive))
    distribution("odd.dist-info", METADATA="Metadata-Version: 2.1\nName: odd\nVersion: 4\n\nName: body\n")
    distribution("old-5.egg-info", **{"PKG-INFO": "Name: old\nVersion: 5\n"})
    distribution("broken-6.dist-info", direct_url_json="{")
    monkeypatch.setattr("sys.path", [str(tmp_path), str(tmp_path / "absent")])
    monkeypatch.setattr(surroundings, "_cache", {})
    monkeypatch.setattr(hook(), "faults", [])
    found = {one["name"]: (one["version"], one.get("direct_url")) for one in surroundings.distributions()}
    assert found == {
        "fancy-name-x": ("1.0+cu121", None),
        "from-git": ("2.0", "git+https://[redacted]@host/r.git@abc"),
        "archive": ("3", "https://host/x.whl#sha256=aa"),
        "odd": ("4", None),
        "old": ("5", None),
    }
    assert len(hook().faults) == 1
    assert "broken-6" in hook().faults[0]


def test_a_package_imported_from_elsewhere_is_listed_as_what_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = {}
    for place, name, version in (
        ("vendor", "peft", "0.17"),
        ("site", "trl", "1.0"),
        ("tree", "transformers", "5.dev0"),
    ):
        (tmp_path / place / name).mkdir(parents=True)
        loaded[name] = types.ModuleType(name)
        loaded[name].__file__ = str(tmp_path / place / name / "__init__.py")
        loaded[name].__version__ = version  # type: ignore[attr-defined]
    for folder in ("peft-0.18.dist-info", "trl-1.0.dist-info"):
        (tmp_path / "site" / folder).mkdir()
    (tmp_path / "tree" / "transformers.egg-info").mkdir()
    (tmp_path / "tree" / "transformers.egg-info" / "PKG-INFO").write_text("Name: transformers\nVersion: 5.dev0\n")
    monkeypatch.setattr("sys.path", [str(tmp_path / "tree"), str(tmp_path / "vendor"), str(tmp_path / "site")])
    monkeypatch.setattr(surroundings, "_cache", {})
    monkeypatch.setattr(surroundings, "module", loaded.get)
    found = {one["name"]: (one["version"], one.get("direct_url")) for one in surroundings.distributions()}
    assert found == {
        "peft": ("0.17", f"file://{tmp_path / 'vendor'}"),
        "transformers": ("5.dev0", f"file://{tmp_path / 'tree'}"),
        "trl": ("1.0", None),
    }
