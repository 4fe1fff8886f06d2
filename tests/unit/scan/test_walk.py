"""Which folders a scan finds, and that no tree of folders can stop or trap it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from envpin.core.errors import InputError
from envpin.scan.walk import walk
from tests.support.checkpoints import llama_shapes, lora_shapes, write_adapter, write_model

if TYPE_CHECKING:
    from pathlib import Path

LORA = lora_shapes(llama_shapes())


def paths(root: Path, *, follow_links: bool = False) -> list[str]:
    return [str(spot.path.relative_to(root)) for spot in walk(root, follow_links=follow_links).spots]


def test_models_adapters_and_checkpoints_are_found_and_nothing_else(tmp_path: Path) -> None:
    write_adapter(tmp_path / "b" / "run", LORA)
    write_adapter(tmp_path / "b" / "run" / "checkpoint-10", LORA)
    write_model(tmp_path / "a", llama_shapes())
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "config.json").write_text('{"port": 80}')
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("nothing")
    assert paths(tmp_path) == ["a", "b/run", "b/run/checkpoint-10", "c"]


def test_a_checkpoint_knows_its_run(tmp_path: Path) -> None:
    write_adapter(tmp_path / "run", LORA)
    write_adapter(tmp_path / "run" / "checkpoint-10", LORA)
    write_adapter(tmp_path / "run" / "final", LORA)
    found = {spot.path.name: spot.run for spot in walk(tmp_path).spots}
    assert found["run"] is None
    assert found["final"] is None
    run = found["checkpoint-10"]
    assert run is not None
    assert run[0] == tmp_path / "run"
    assert "adapter_config.json" in run[1]


def test_environments_and_the_insides_of_tools_are_not_entered(tmp_path: Path) -> None:
    write_model(tmp_path / ".git" / "model", llama_shapes())
    write_model(tmp_path / "venv" / "lib" / "model", llama_shapes())
    (tmp_path / "venv" / "pyvenv.cfg").write_text("home = /usr\n")
    assert paths(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_are_left_alone_and_a_loop_of_them_ends(tmp_path: Path) -> None:
    write_adapter(tmp_path / "one", LORA)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    write_adapter(outside, LORA)
    (tmp_path / "away").symlink_to(outside)
    (tmp_path / "one" / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    found = walk(tmp_path)
    assert [spot.path.name for spot in found.spots] == ["one"]
    assert sorted(path.name for path in found.links) == ["away", "loop"]
    assert paths(tmp_path, follow_links=True) == ["away", "one"], "each folder once, however it is reached"


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="root may enter everything")
def test_a_folder_that_may_not_be_entered_is_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    write_adapter(closed, LORA)
    write_adapter(tmp_path / "open", LORA)
    closed.chmod(0)
    try:
        found = walk(tmp_path)
    finally:
        closed.chmod(0o755)
    assert [spot.path.name for spot in found.spots] == ["open"]
    assert found.unreadable == [(closed, "Permission denied")]


def test_a_folder_that_vanishes_while_it_is_walked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_adapter(tmp_path / "stays", LORA)
    gone = tmp_path / "gone"
    write_adapter(gone, LORA)
    real = os.scandir

    def scandir(path: Path) -> object:
        if path == gone:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return real(path)

    monkeypatch.setattr("envpin.scan.walk.os.scandir", scandir)
    found = walk(tmp_path)
    assert [spot.path.name for spot in found.spots] == ["stays"]
    assert found.unreadable == [(gone, "No such file or directory")]


def test_a_deep_tree_is_walked_to_its_end(tmp_path: Path) -> None:
    path = tmp_path
    for _ in range(400):
        path /= "d"
    path.mkdir(parents=True)
    write_adapter(path, LORA)
    assert len(walk(tmp_path).spots) == 1


def test_a_root_that_is_none_is_an_input_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for root in (tmp_path / "absent", file):
        with pytest.raises(InputError, match="cannot be scanned"):
            walk(root)
