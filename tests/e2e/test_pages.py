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
from tests.support.hub_simulator import HubSimulator
from tests.support.places import ROOT, SOURCE
from tests.support.transcripts import follow
from tests.support.walks import Walk

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = "/tmp/tutorial"  # the folder that the pages use


def follow_page(page: Path, folder: Path) -> None:
    """Run its commands in `folder`, with torch from the index as its readers get it."""
    follow(page, folder, reader(), SHOWN)


def reader() -> dict[str, str]:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return variables({"UV_FIND_LINKS": "", "PIP_FIND_LINKS": "", "PATH": tools})


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The reader's folder, where the tutorial was followed."""
    with tempfile.TemporaryDirectory(prefix="envpin-") as name:
        place = Path(name).resolve()
        for script in (SOURCE / "demo" / "scripts").glob("*.py"):
            shutil.copy(script, place)
        follow_page(ROOT / "docs" / "tutorial.md", place)
        yield place


@pytest.mark.xdist_group("demo")
def test_tutorial_prints_what_it_shows(folder: Path) -> None:
    assert (folder / "merged" / "envpin-merge.json").is_file()


@pytest.mark.xdist_group("demo")
def test_readme_prints_what_it_shows(folder: Path) -> None:
    shutil.rmtree(folder / "merged")
    follow_page(ROOT / "README.md", folder)


@pytest.mark.xdist_group("demo")
def test_how_to_show_a_merge_prints_what_it_shows(folder: Path) -> None:
    if not (folder / "merged").exists():
        follow_page(ROOT / "README.md", folder)
    with HubSimulator() as hub:
        taken = hub.variables(folder / "hub-home", HF_TOKEN="hf_writer")
        walk = Walk("pages-cards-push.md", folder, {**reader(), **taken}, SHOWN)
        walk.type()
        walk.type()
        walk.type()
        walk.end()
        repo = hub.repos["ada/llama-merged"]
        assert "envpin-merge.json" in repo.commits[repo.refs["main"]]
    assert "## How this model was merged" in (folder / "merged" / "README.md").read_text(encoding="utf-8")
