"""Reading the traces of a trainer from files: pickles as opcodes, never loaded; every bound kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpin.inference.traces import read_traces
from tests.support.pickled import saved

if TYPE_CHECKING:
    from pathlib import Path


class Arguments:
    """Stands for a trainer's arguments; pickled by its path."""

    def __init__(self) -> None:
        self.output_dir = "out"


def test_traces_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"r": 8}')
    (tmp_path / "training_params.json").write_text("not json")
    (tmp_path / "README.md").write_bytes(b"---\ntags:\n- trl\n---\n\xff")
    (tmp_path / "args.json").mkdir()
    saved(tmp_path / "training_args.bin", Arguments())
    names = [entry.name for entry in tmp_path.iterdir()]
    traces = read_traces(tmp_path, names)
    assert traces.documents == {"adapter_config.json": {"r": 8}}
    assert traces.card is not None
    assert traces.card.startswith("---\ntags:")
    assert traces.classes
    assert read_traces(tmp_path / "gone", names).documents == {}
