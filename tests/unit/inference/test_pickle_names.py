"""Names in pickles, read as opcodes and never loaded."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from envpin.inference.pickle_names import class_paths, texts
from tests.support.pickled import saved

if TYPE_CHECKING:
    from pathlib import Path


class Arguments:
    """Stands for a trainer's arguments; pickled by its path."""

    def __init__(self) -> None:
        self.output_dir = "out"


class Bomb:
    """Unpickling it would write a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (os.mkdir, (str(self.marker),))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_class_paths_and_texts(tmp_path: Path, *, zipped: bool, protocol: int) -> None:
    path = saved(tmp_path / "training_args.bin", Arguments(), zipped=zipped, protocol=protocol)
    assert f"{__name__}.Arguments" in class_paths(path)
    assert {"output_dir", "out"} <= set(texts(path))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = saved(tmp_path / "training_args.bin", Bomb(marker))
    before = set(sys.modules)
    assert class_paths(path) == (f"{os.mkdir.__module__}.mkdir",)
    assert not marker.exists()
    assert set(sys.modules) == before
