"""What a conda environment says of its packages, and what a replay says of those that pip cannot give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from envpin.manifest.types import CondaPackage, Distribution, Manifest
from envpin.recording.injected import hook
from envpin.replay.plan import conda_notes

if TYPE_CHECKING:
    from pathlib import Path

conda = hook("conda")


def test_packages_have_their_build_and_channel(tmp_path: Path) -> None:
    meta = tmp_path / "conda-meta"
    meta.mkdir()
    (meta / "history").write_text("==> 2026-11-01 <==\n")
    for name, channel in (
        ("cuda-cudart-12.1.105-0", "https://conda.anaconda.org/nvidia/linux-64"),
        ("libblas-3.9.0-24_linux64_mkl", "https://user:secret@repo.example.org/t/token/conda-forge/linux-64"),
    ):
        document = {"build": "x", "channel": channel, "files": ["f" * 80] * 5000}
        (meta / f"{name}.json").write_text(json.dumps(document, indent=2))
    assert conda.packages(str(tmp_path)) == [
        {"name": "cuda-cudart", "version": "12.1.105", "build": "0",
         "channel": "https://conda.anaconda.org/nvidia/linux-64"},
        {"name": "libblas", "version": "3.9.0", "build": "24_linux64_mkl",
         "channel": "https://repo.example.org//conda-forge/linux-64"},
    ]  # fmt: skip


def test_another_environment_has_none(tmp_path: Path) -> None:
    assert conda.packages(str(tmp_path)) == []


def test_a_replay_says_what_pip_cannot_give() -> None:
    packages = [CondaPackage(name=name, version="1", channel="nvidia") for name in ("numpy", "zlib", "cuda-cudart")]
    manifest = Manifest(schema=1, distributions=(Distribution(name="numpy", version="1"),), conda=tuple(packages))
    (note,) = conda_notes(manifest)
    assert note.startswith("not of Python, and not rebuilt: 2 packages of the recorded conda environment")
    assert "cuda-cudart 1, zlib 1 (from nvidia)" in note
    assert conda_notes(Manifest(schema=1)) == ()
