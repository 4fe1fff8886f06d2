"""The commands of the tutorial, of how-tos about its merge and of the README, as typed; torch comes from the index."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command import variables
from tests.support.places import ROOT, SOURCE
from tests.support.transcripts import matches, printed, transcripts

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = "/tmp/tutorial"  # the folder that the pages use


def follow(page: Path, folder: Path) -> None:
    """Run every command of the page in `folder`; each must print what the page shows."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = variables({"UV_FIND_LINKS": "", "PIP_FIND_LINKS": "", "PATH": tools})
    found = transcripts(page.read_text(encoding="utf-8"))
    assert found
    for one in found:
        actual = printed(one.command, folder, env)
        assert matches(one.expected, actual, folder, SHOWN), f"$ {one.command}\n{actual}\nexpected:\n{one.expected}"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The reader's folder, where the tutorial was followed."""
    with tempfile.TemporaryDirectory(prefix="envpin-") as name:
        place = Path(name).resolve()
        for script in (SOURCE / "demo" / "scripts").glob("*.py"):
            shutil.copy(script, place)
        follow(ROOT / "docs" / "tutorial.md", place)
        yield place


@pytest.mark.xdist_group("demo")
def test_tutorial_prints_what_it_shows(folder: Path) -> None:
    assert (folder / "merged" / "envpin-merge.json").is_file()


@pytest.mark.xdist_group("demo")
def test_readme_prints_what_it_shows(folder: Path) -> None:
    shutil.rmtree(folder / "merged")
    follow(ROOT / "README.md", folder)


@pytest.mark.xdist_group("demo")
def test_how_to_show_a_merge_prints_what_it_shows(folder: Path) -> None:
    if not (folder / "merged").exists():
        follow(ROOT / "README.md", folder)
    follow(ROOT / "docs" / "how-to" / "pages-cards-push.md", folder)
    assert "## How this model was merged" in (folder / "merged" / "README.md").read_text(encoding="utf-8")
